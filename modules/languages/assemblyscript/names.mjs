// A plugin of the compiler: exports get the names that wit/ says, which no function of the language can have.
const INTERFACES = {
  counter: "example:app/counter",
  lifecycle: "wasmhot:module/lifecycle@0.1.0",
  health: "wasmhot:module/health@0.1.0",
};

export default class {
  afterCompile(module) {
    for (const name of this.program.filesByName.get("exports").exports.keys()) {
      const [face, ...words] = name.split("_");
      if (!(face in INTERFACES)) continue;
      module.addFunctionExport(`exports/${name}`, `${INTERFACES[face]}#${words.join("-")}`);
      module.removeExport(name);
    }
  }
}
