package main

// The exports of wit/, by the canonical ABI: a text or list is its address and its length; what does not fit into one number is
// returned in memory, at the offsets written here. Change this file together with wit/counter.wit.

type Summary struct {
	Count int64
	Even  bool
	Half  float64
	Note  *string
}

type Step struct {
	Kind   StepKind
	Number int64
	Text   string
}

type StepKind int32

const (
	Add StepKind = iota
	Set
	Note
	Clear
)

type Scalars struct {
	Small  uint8
	Signed int16
	Medium uint32
	Large  uint64
	Single float32
	Double float64
	Letter rune
	Flag   bool
}

type Change struct {
	From, To  string
	Direction Direction
	Extra     string
}

type Direction int32

const (
	Upgrade Direction = iota
	Downgrade
	Restore
)

//go:wasmexport example:app/counter#increment
func exportIncrement(by int64) int64 {
	tidy()
	return increment(by)
}

//go:wasmexport example:app/counter#get
func exportGet() int64 {
	tidy()
	return state.Count
}

//go:wasmexport example:app/counter#greet
func exportGreet(name, nameLength uint32) uint32 {
	tidy()
	putText(0, greet(textAt(name, nameLength)))
	return result()
}

//go:wasmexport example:app/counter#summarize
func exportSummarize() uint32 {
	tidy()
	summary := summarize()
	put(0, summary.Count)
	put(8, summary.Even)
	put(16, summary.Half)
	put(24, summary.Note != nil)
	if summary.Note != nil {
		putText(28, *summary.Note)
	}
	return result()
}

//go:wasmexport example:app/counter#take
func exportTake(kind int32, number int64, length uint32) uint32 {
	tidy()
	step := Step{Kind: StepKind(kind), Number: number}
	if step.Kind == Note {
		step.Text = textAt(uint32(number), length)
	}
	return outcome(nil, take(step))
}

//go:wasmexport example:app/counter#mirror
func exportMirror(small, signed, medium uint32, large uint64, single float32, double float64, letter int32, flag uint32) uint32 {
	tidy()
	scalars := mirror(Scalars{uint8(small), int16(signed), medium, large, single, double, letter, flag != 0})
	put(0, scalars.Small)
	put(2, scalars.Signed)
	put(4, scalars.Medium)
	put(8, scalars.Large)
	put(16, scalars.Single)
	put(24, scalars.Double)
	put(32, scalars.Letter)
	put(36, scalars.Flag)
	return result()
}

//go:wasmexport example:app/counter#echo
func exportEcho(bytes, length uint32) uint32 {
	tidy()
	putBytes(0, echo(bytesAt(bytes, length)))
	return result()
}

//go:wasmexport example:app/counter#grow
func exportGrow(length uint32) {
	tidy()
	grow(length)
}

//go:wasmexport example:app/counter#fail
func exportFail() {
	fail()
}

//go:wasmexport example:app/counter#spin
func exportSpin() {
	spin()
}

//go:wasmexport wasmhot:module/lifecycle@0.1.0#save
func exportSave(from, fromLength, to, toLength uint32, direction int32, extra, extraLength uint32) uint32 {
	tidy()
	return outcome(save(Change{
		textAt(from, fromLength), textAt(to, toLength), Direction(direction), textAt(extra, extraLength),
	}))
}

//go:wasmexport wasmhot:module/lifecycle@0.1.0#migrate
func exportMigrate(from, fromLength, to, toLength uint32, direction int32, extra, extraLength, bytes, length uint32) uint32 {
	tidy()
	change := Change{
		textAt(from, fromLength), textAt(to, toLength), Direction(direction), textAt(extra, extraLength),
	}
	return outcome(nil, migrate(change, bytesAt(bytes, length)))
}

//go:wasmexport wasmhot:module/health@0.1.0#check
func exportCheck() uint32 {
	tidy()
	return outcome(nil, check())
}
