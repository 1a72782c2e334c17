//! Names of exports, as WIT wants them.

/// An export's name in kebab case: `get_value`, `getValue`, `GetValue` and `_get_value` are all `get-value`. `None` where there
/// is no such name, and for names that toolchains use among themselves (two underscores).
pub(super) fn kebab(name: &str) -> Option<String> {
    if name.starts_with("__") {
        return None;
    }
    let characters: Vec<char> = name.strip_prefix('_').unwrap_or(name).chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut begin = true;
    for (place, character) in characters.iter().copied().enumerate() {
        match character {
            '_' | '-' => {
                begin = true;
                continue;
            }
            'A'..='Z' => begin |= capital_begins_word(&characters, place),
            'a'..='z' => {}
            // A word begins with a letter: `foo_2` is `foo2`.
            '0'..='9' => begin &= words.is_empty(),
            _ => return None,
        }
        if begin {
            words.push(String::new());
        }
        begin = false;
        words.last_mut()?.push(character.to_ascii_lowercase());
    }
    let legal = words.first()?.starts_with(|first: char| first.is_ascii_lowercase());
    legal.then(|| words.join("-"))
}

/// `getValue`: after a small letter or digit; `HTTPServer`: before a small letter, at the end of a run of capitals.
fn capital_begins_word(characters: &[char], place: usize) -> bool {
    let Some(before) = place.checked_sub(1).and_then(|before| characters.get(before)) else {
        return true;
    };
    let ends_run = characters.get(place + 1).is_some_and(char::is_ascii_lowercase);
    before.is_ascii_lowercase() || before.is_ascii_digit() || (before.is_ascii_uppercase() && ends_run)
}

#[cfg(test)]
mod tests {
    use super::kebab;

    #[test]
    fn r06_export_names_become_kebab_case() {
        let table = [
            ("increment", Some("increment")),
            ("get_value", Some("get-value")),
            ("getValue", Some("get-value")),
            ("GetValue", Some("get-value")),
            ("_foo", Some("foo")),
            ("Camel", Some("camel")),
            ("HTTPServer", Some("http-server")),
            ("GET", Some("get")),
            ("foo_2", Some("foo2")),
            ("sum2Squares", Some("sum2-squares")),
            ("a--b", Some("a-b")),
            ("__wasm_call_ctors", None),
            ("2fast", None),
            ("", None),
            ("_", None),
            ("a.b", None),
            ("größe", None),
            ("demo:counter/counter#get", None),
        ];
        for (name, wanted) in table {
            assert_eq!(kebab(name).as_deref(), wanted, "{name}");
        }
    }
}
