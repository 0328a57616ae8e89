//! Names in other cases, by serde's rules.

/// `InsufficientFunds` in lower case with `separator` before each capital letter but the first:
/// `insufficient-funds`.
pub(crate) fn separated(name: &str, separator: char) -> String {
    let mut text = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_uppercase() && index > 0 {
            text.push(separator);
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// The name that serde gives the variant `name` under `#[serde(rename_all = "rule")]`; none for an
/// unknown rule.
pub(crate) fn variant(name: &str, rule: &str) -> Option<String> {
    Some(match rule {
        "PascalCase" => name.to_owned(),
        "lowercase" => name.to_lowercase(),
        "UPPERCASE" => name.to_uppercase(),
        "camelCase" => with_first(name, |first| first.to_lowercase().collect()),
        "snake_case" => separated(name, '_'),
        "SCREAMING_SNAKE_CASE" => separated(name, '_').to_uppercase(),
        "kebab-case" => separated(name, '-'),
        "SCREAMING-KEBAB-CASE" => separated(name, '-').to_uppercase(),
        _ => return None,
    })
}

/// The name that serde gives the field `name` under `#[serde(rename_all = "rule")]`; none for an
/// unknown rule.
pub(crate) fn field(name: &str, rule: &str) -> Option<String> {
    let pascal = || {
        name.split('_')
            .map(|word| with_first(word, |first| first.to_uppercase().collect()))
            .collect::<String>()
    };
    Some(match rule {
        "lowercase" | "snake_case" => name.to_owned(),
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => name.to_uppercase(),
        "PascalCase" => pascal(),
        "camelCase" => with_first(&pascal(), |first| first.to_lowercase().collect()),
        "kebab-case" => name.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => name.to_uppercase().replace('_', "-"),
        _ => return None,
    })
}

fn with_first(word: &str, change: impl Fn(char) -> String) -> String {
    let mut letters = word.chars();
    letters.next().map(change).unwrap_or_default() + letters.as_str()
}

/// A sentence as the name of a function: `It's closed!` becomes `it_s_closed`.
pub(crate) fn identifier(sentence: &str) -> String {
    let words = sentence
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("_").to_lowercase();
    if name.starts_with(|letter: char| letter.is_alphabetic()) {
        name
    } else {
        format!("spec_{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [&str; 8] = [
        "lowercase",
        "UPPERCASE",
        "PascalCase",
        "camelCase",
        "snake_case",
        "SCREAMING_SNAKE_CASE",
        "kebab-case",
        "SCREAMING-KEBAB-CASE",
    ];

    #[test]
    fn variants_are_renamed_as_serde_does() {
        let names = RULES.map(|rule| variant("OrderPlaced", rule).unwrap());
        let expected = [
            "orderplaced",
            "ORDERPLACED",
            "OrderPlaced",
            "orderPlaced",
            "order_placed",
            "ORDER_PLACED",
            "order-placed",
            "ORDER-PLACED",
        ];
        assert_eq!(names, expected);
        assert_eq!(variant("OrderPlaced", "Title Case"), None);
    }

    #[test]
    fn fields_are_renamed_as_serde_does() {
        let names = RULES.map(|rule| field("line_items", rule).unwrap());
        let expected = [
            "line_items",
            "LINE_ITEMS",
            "LineItems",
            "lineItems",
            "line_items",
            "LINE_ITEMS",
            "line-items",
            "LINE-ITEMS",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn sentences_become_identifiers() {
        assert_eq!(identifier("It's closed!"), "it_s_closed");
        assert_eq!(identifier("3 items at most"), "spec_3_items_at_most");
    }
}
