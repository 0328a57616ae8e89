//! Names in other cases, by serde's rule: each capital letter begins a word.

/// `InsufficientFunds` in lower case with `separator` between its words: `insufficient-funds`.
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

/// What serde calls the variant `name` under `#[serde(rename_all = "rule")]`; none for an unknown rule.
pub(crate) fn renamed(name: &str, rule: &str) -> Option<String> {
    Some(match rule {
        "PascalCase" => name.to_owned(),
        "lowercase" => name.to_lowercase(),
        "UPPERCASE" => name.to_uppercase(),
        "camelCase" => name
            .chars()
            .take(1)
            .flat_map(char::to_lowercase)
            .chain(name.chars().skip(1))
            .collect(),
        "snake_case" => separated(name, '_'),
        "SCREAMING_SNAKE_CASE" => separated(name, '_').to_uppercase(),
        "kebab-case" => separated(name, '-'),
        "SCREAMING-KEBAB-CASE" => separated(name, '-').to_uppercase(),
        _ => return None,
    })
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

    #[test]
    fn names_follow_serdes_rules() {
        let renamed = |rule| renamed("OrderPlaced", rule).unwrap();
        assert_eq!(renamed("lowercase"), "orderplaced");
        assert_eq!(renamed("UPPERCASE"), "ORDERPLACED");
        assert_eq!(renamed("PascalCase"), "OrderPlaced");
        assert_eq!(renamed("camelCase"), "orderPlaced");
        assert_eq!(renamed("snake_case"), "order_placed");
        assert_eq!(renamed("SCREAMING_SNAKE_CASE"), "ORDER_PLACED");
        assert_eq!(renamed("kebab-case"), "order-placed");
        assert_eq!(renamed("SCREAMING-KEBAB-CASE"), "ORDER-PLACED");
        assert_eq!(super::renamed("OrderPlaced", "Title Case"), None);
    }

    #[test]
    fn sentences_become_identifiers() {
        assert_eq!(identifier("It's closed!"), "it_s_closed");
        assert_eq!(identifier("3 items at most"), "spec_3_items_at_most");
    }
}
