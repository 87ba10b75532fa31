//! What programs print instead of a missing value, an object or a list.

use crate::findings::begins_lookup;

/// What databases and libraries print for a missing value, in marks that no person writes.
const MISSING: [&str; 45] = [
    "(null)",
    "(nil)",
    "(none)",
    "(undefined)",
    "<null>",
    "<nil>",
    "<none>",
    "<na>",
    "<undefined>",
    "<no value>",
    "<n/a>",
    "<nat>",
    "<missing>",
    "<field missing>",
    "[null]",
    "{null}",
    "1.#qnan",
    "-1.#ind",
    "1.#ind",
    "-nan(ind)",
    "-nan",
    "1.#inf",
    "-1.#inf",
    "-1.#qnan",
    // Empty vectors and values of R.
    "character(0)",
    "integer(0)",
    "na_character_",
    // Pivot tables, in the languages of their programs.
    "(blank)",
    "(empty)",
    "(leer)",
    "(vide)",
    "(vuoto)",
    "(en blanco)",
    "(vacío)",
    "(em branco)",
    "(leeg)",
    "(пусто)",
    "(puste)",
    "(prázdné)",
    "(tom)",
    "(tyhjä)",
    "(üres)",
    "(boş)",
    "(空白)",
    "(비어 있음)",
];

/// Bytes of a text that can be one of them, with room for letters that are longer as capitals.
const MISSING_BYTES_MAX: usize = 32;

/// What libraries print for a missing value, in words that no person writes so.
const MISSING_PHRASES: [&str; 4] = ["Invalid Date", "Invalid date", "Optional.empty", "pd.NA"];
/// Length of the longest of them.
const MISSING_PHRASE_BYTES_MAX: usize = 14;

/// What Power Query prints for a value with parts.
const POWER_QUERY: [&str; 4] = ["[Record]", "[List]", "[Table]", "[Binary]"];
/// Words before a value that is printed as code, up to its bracket.
const VALUE_CONSTRUCTORS: [&str; 14] = [
    "Timestamp('",
    "Decimal('",
    "UUID('",
    "ObjectId(",
    "ISODate(",
    "NumberLong(",
    "NumberInt(",
    "NumberDecimal(",
    "datetime.date(",
    "datetime.datetime(",
    "np.str_(",
    "np.int64(",
    "np.float64(",
    "Fraction(",
];

/// Types of .NET whose name alone is printed for a value of theirs.
const DOTNET_TYPES: [&str; 6] = [
    "System.Object",
    "System.DBNull",
    "System.Byte",
    "System.String",
    "System.__ComObject",
    "System.Guid",
];
/// Namespaces of .NET whose types are printed by name.
const DOTNET_NAMESPACES: [&str; 7] = [
    "System.Collections.",
    "System.Data.",
    "System.Linq.",
    "System.Xml.",
    "System.Management.Automation.",
    "System.Threading.",
    "Microsoft.SharePoint.",
];
/// Words before the values of a list or map that is printed as code, up to its bracket.
const CONSTRUCTORS: [&str; 29] = [
    "array(",
    "Array(",
    "Array\n",
    "Array (",
    "array (",
    "list(",
    "List(",
    "dict(",
    "set(",
    "tuple(",
    "frozenset(",
    "dict_keys(",
    "dict_values(",
    "Counter(",
    "OrderedDict(",
    "defaultdict(",
    "Series(",
    "Index(",
    "c(\"",
    "c('",
    "map[",
    "Map(",
    "Set(",
    "Seq(",
    "vector(",
    "Vector(",
    "deque(",
    "String[",
    "Any[",
];
/// Words before values that no text has directly before a bracket.
const WRAPPERS: [&str; 6] =
    ["Some(", "Optional[", "Optional(", "WrappedArray(", "ArrayBuffer(", "ArraySeq("];
/// Words before the address of a value.
const ADDRESSES: [&str; 7] =
    ["ARRAY(0x", "HASH(0x", "CODE(0x", "SCALAR(0x", "table: 0x", "function: 0x", "userdata: 0x"];

/// Whether the text stands for a missing value.
pub(super) fn is_missing(text: &str) -> bool {
    // `\N` is printed by MySQL and PostgreSQL, in no other case.
    let is_in_marks = || MISSING.contains(&text.to_lowercase().as_str());
    text == "\\N" || is_missing_phrase(text) || text.len() <= MISSING_BYTES_MAX && is_in_marks()
}

/// Whether the text is one of [`MISSING_PHRASES`].
pub(super) fn is_missing_phrase(text: &str) -> bool {
    text.len() <= MISSING_PHRASE_BYTES_MAX && MISSING_PHRASES.contains(&text)
}

/// Whether the text is the address of a value, as Perl and Lua print it.
pub(super) fn is_bare_address(text: &str) -> bool {
    ADDRESSES.iter().any(|start| text.starts_with(start))
}

/// Whether the text is the name of a type, with or without an address.
pub(super) fn is_object(text: &str) -> bool {
    is_javascript_object(text)
        || is_dotnet_type(text)
        || is_java_object(text)
        || is_address(text)
        || is_object_with_fields(text)
        || is_object_of_class(text)
        || is_node_collection(text)
        || is_bare_address(text)
        || POWER_QUERY.contains(&text)
}

/// `[object Object]`, also several in a row.
fn is_javascript_object(text: &str) -> bool {
    text.strip_prefix("[object ").is_some_and(|rest| rest.contains(']'))
}

/// Whether the text may be the name of a type of .NET.
pub(super) fn begins_dotnet_type(text: &str) -> bool {
    text.starts_with("System.") || text.starts_with("Microsoft.SharePoint.")
}

/// `System.String[]`, ``System.Collections.Generic.List`1[System.String]``.
fn is_dotnet_type(text: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || ".[],`_ +=@{};&".contains(c);
    begins_dotnet_type(text)
        && text.chars().all(is_name)
        && (text.ends_with("[]")
            || DOTNET_TYPES.contains(&text)
            || DOTNET_NAMESPACES.iter().any(|namespace| text.starts_with(namespace)))
}

/// `[Ljava.lang.String;@1b2c3d`, `java.util.ArrayList@1b2c3d`.
fn is_java_object(text: &str) -> bool {
    let Some((class, hash)) = text.rsplit_once('@') else {
        return false;
    };
    let is_hash = (1..=8).contains(&hash.len())
        && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '$' | '_');
    let is_array = class.starts_with('[') && class.len() >= 2 && !class.contains(' ');
    let name = class.rsplit('.').next().unwrap_or_default();
    let is_class = class.contains('.')
        && class.chars().all(is_name)
        && name.starts_with(char::is_uppercase)
        && !class.starts_with(char::is_uppercase);
    is_hash && (is_array || is_class)
}

/// `<Foo object at 0x7f8a>`, `#<Foo:0x000>`, `%!s(<nil>)`.
fn is_address(text: &str) -> bool {
    let is_inside = |prefix: &str| text.starts_with(prefix) && text.ends_with('>');
    is_inside("<") && text.contains(" at 0x")
        || is_inside("#<") && text.contains(":0x")
        || is_inside("<class '")
        || is_inside("<<\"")
        || is_inside("#") && is_elixir_struct(text)
        || is_django_object(text)
        || text.starts_with("%!") && text.ends_with(')')
}

/// `#Ecto.Association.NotLoaded<…>` of Elixir.
fn is_elixir_struct(text: &str) -> bool {
    let class = text.strip_prefix('#').and_then(|rest| rest.split_once('<'));
    class.is_some_and(|(class, _)| {
        class.contains('.')
            && class.starts_with(|c: char| c.is_ascii_uppercase())
            && class.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_'))
    })
}

/// `Tag object (1)` of Django.
fn is_django_object(text: &str) -> bool {
    let parts = text.strip_suffix(')').and_then(|text| text.split_once(" object ("));
    parts.is_some_and(|(class, key)| {
        class.chars().all(|c| c.is_alphanumeric() || c == '_') && (key == "None" || is_number(key))
    })
}

/// `Tag(id=1, name=red)` of Kotlin and Lombok, `Tag[name=red]` of a record of Java.
fn is_object_of_class(text: &str) -> bool {
    let Some((class, rest)) = text.split_once(['(', '[']) else { return false };
    let Some((name, _)) = rest.split_once('=') else { return false };
    let is_identifier = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    is_identifier(class)
        && class.starts_with(|c: char| c.is_ascii_uppercase())
        && is_identifier(name)
        && rest.ends_with([')', ']'])
}

/// `Set(2) { 'red', 'blue' }` and `Map(1) {…}` of Node.
fn is_node_collection(text: &str) -> bool {
    let rest = text.strip_prefix("Set(").or_else(|| text.strip_prefix("Map("));
    let parts = rest.and_then(|rest| rest.strip_suffix('}')).and_then(|it| it.split_once(") {"));
    parts.is_some_and(|(count, _)| is_number(count))
}

/// `@{name=red; id=1}` of `PowerShell`, `<Tag: red>` and `<QuerySet [...]>` of Django, `#<Tag id: 1>` of
/// Rails, `&{red 1}` of Go.
fn is_object_with_fields(text: &str) -> bool {
    let inside = |open: &str, close: char| text.strip_prefix(open)?.strip_suffix(close);
    let is_class = |text: &str| {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '.');
        let name = text.split(|c| !is_name(c)).next().unwrap_or_default();
        let after = text.get(name.len()..).unwrap_or_default();
        let has_fields = name.ends_with(':') && after.starts_with(' ')
            || after.starts_with(" [")
            || after.strip_prefix(' ').is_some_and(is_number);
        name.starts_with(|c: char| c.is_ascii_uppercase()) && has_fields
    };
    inside("@{", '}').is_some_and(|inside| inside.contains('='))
        || inside("&{", '}').is_some()
        || inside("<", '>').is_some_and(is_class)
        || inside("#<", '>').is_some_and(|it| it.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// Whether the text is a single value printed as source code, or a table of pandas.
pub(super) fn is_value(text: &str) -> bool {
    let is_constructed = || VALUE_CONSTRUCTORS.iter().any(|start| text.starts_with(start));
    let is_bytes = || {
        let inside = |quote| text.strip_prefix('b')?.strip_prefix(quote)?.strip_suffix(quote);
        ['\'', '"'].into_iter().any(|quote| inside(quote).is_some_and(|it| !it.contains(quote)))
    };
    let is_series = || text.contains('\n') && text.contains("dtype: ");
    text.ends_with(')') && is_constructed() || is_bytes() || is_series()
}

/// Whether the text is a list or map printed as source code. Valid JSON does not count: it can be
/// the value of a text field, and it is the way to write a list.
pub(super) fn is_code(text: &str) -> bool {
    let is_inside = |open: char, close: char| {
        text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).map(str::trim)
    };
    if let Some(inside) = is_inside('{', '}').filter(|_| !is_template(text)) {
        return inside.is_empty() || is_postgres_or_python(inside) && !is_json(text);
    }
    if let Some(inside) = is_inside('(', ')') {
        return inside.is_empty() || inside.contains(',') && is_quoted_start(inside);
    }
    if let Some(inside) = is_inside('[', ']') {
        return is_python_list(inside) && !is_json(text);
    }
    is_constructed(text) || is_php(text) || is_lookup(text)
}

/// Whether the text is a template, such as `{brand}, {color}` or `{{title}}`.
fn is_template(text: &str) -> bool {
    let is_reopened = |(end, _)| text.get(end..).is_some_and(|rest| rest.contains('{'));
    text.contains("{{") || text.match_indices('}').any(is_reopened)
}

/// Whether the text is a word before the values of a list or map in brackets. `Set(2)` and
/// `Array (4 pieces)` are texts.
fn is_constructed(text: &str) -> bool {
    if WRAPPERS.iter().any(|start| text.starts_with(start)) {
        return text.ends_with([')', ']']);
    }
    let is_vector_of_r = |inside: &str| {
        let is_of_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b',' | b' ' | b'.');
        inside.contains(',') && inside.bytes().all(is_of_number)
    };
    if text.strip_prefix("c(").and_then(|rest| rest.strip_suffix(')')).is_some_and(is_vector_of_r) {
        return true;
    }
    let Some(values) = CONSTRUCTORS.iter().find_map(|start| text.strip_prefix(start)) else {
        return false;
    };
    let Some(inside) = values.strip_suffix([')', ']']) else { return false };
    if ["Array (", "array (", "Array\n"].iter().any(|start| text.starts_with(start)) {
        let is_empty = inside.trim_matches(['(', ')', '\n', ' ']).is_empty();
        return is_empty || inside.contains("=>");
    }
    let is_of_code = |c| matches!(c, '\'' | '"' | ',' | '[' | '=' | '>' | ':');
    inside.is_empty() || inside.contains(is_of_code) && !is_scale(inside)
}

/// Whether this is `1:50000`, as in the scale of a map.
fn is_scale(text: &str) -> bool {
    text.split_once(':').is_some_and(|(one, other)| {
        [one, other].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the text is an object or a list of one word in braces, or words in parentheses: printed code
/// where a list is meant.
pub(super) fn is_code_for_list(text: &str) -> bool {
    let inside = |open, close| {
        let inside = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        inside.filter(|inside| !inside.contains([open, close]))
    };
    inside('{', '}').is_some()
        || text.starts_with('{') && is_json(text)
        || inside('(', ')').is_some_and(|inside| inside.contains(',') && !inside.contains(", "))
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The inside of braces: a list of `PostgreSQL` or a map or set of Python.
fn is_postgres_or_python(inside: &str) -> bool {
    inside.contains([',', ':', '=']) || is_quoted(inside)
}

/// The inside of brackets: a list that Python prints.
fn is_python_list(inside: &str) -> bool {
    const WORDS: [&str; 4] = ["None", "nan", "True", "False"];
    // The strings of Python 2 and bytes have a letter before their quotes.
    is_quoted_start(inside.trim_start_matches(['u', 'b']))
        || inside.starts_with("array(")
        || WORDS.iter().any(|word| {
            let after = inside.strip_prefix(word).map(str::trim_start);
            after.is_some_and(|after| after.is_empty() || after.starts_with(','))
        })
}

/// Whether the text begins with a quoted word that is the whole text or followed by a comma.
fn is_quoted_start(text: &str) -> bool {
    ['\'', '"'].iter().any(|quote| {
        let rest = text.strip_prefix(*quote);
        let after =
            rest.and_then(|rest| rest.split_once(*quote)).map(|(_, after)| after.trim_start());
        after.is_some_and(|after| after.is_empty() || after.starts_with(','))
    })
}

fn is_quoted(text: &str) -> bool {
    ['\'', '"']
        .iter()
        .any(|quote| text.len() >= 2 && text.starts_with(*quote) && text.ends_with(*quote))
}

/// Whether the text is what `SharePoint` stores for choices and references.
pub(super) fn is_lookup(text: &str) -> bool {
    begins_lookup(text) && text != ";#"
}

/// `a:2:{i:0;s:3:"red";}` and `s:3:"red";`, as PHP serializes.
fn is_php(text: &str) -> bool {
    let after = |prefix: &str| {
        let rest = text.strip_prefix(prefix)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest.get(digits..).filter(|_| digits > 0)
    };
    after("a:").is_some_and(|rest| rest.starts_with(":{") && rest.ends_with('}'))
        || after("s:").is_some_and(|rest| rest.starts_with(":\"") && rest.ends_with("\";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_are_recognized_in_any_case() {
        for text in ["(null)", "<NULL>", "[NULL]", "<NA>", "<nil>", "\\N", "1.#QNAN"] {
            assert!(is_missing(text), "{text}");
        }
        for text in ["\\n", "(sic)", "<b>", "null island", "N", "[red]"] {
            assert!(!is_missing(text), "{text}");
        }
    }

    #[test]
    fn printed_objects_are_recognized() {
        for text in [
            "System.Object[]",
            "System.String[]",
            "System.Collections.Generic.List`1[System.String]",
            "System.Collections.Hashtable",
            "[object Object]",
            "[object Object],[object Object]",
            "[Ljava.lang.String;@1b2c3d",
            "java.util.ArrayList@1b2c3d",
            "<__main__.Shoe object at 0x7f8a2b>",
            "#<Shoe:0x00007f8a>",
            "%!s(<nil>)",
            "@{name=red; id=1}",
            "<Tag: red>",
            "<QuerySet [<Tag: red>]>",
            "#<Tag id: 1, name: \"red\">",
            "&{red 1}",
            "[Record]",
        ] {
            assert!(is_object(text), "{text}");
        }
        for text in [
            "System",
            "System.shoe",
            "Sound System.",
            "[object",
            "anna@cafe",
            "anna.b@cafe",
            "<b>x</b>",
            "object Object",
            "<B>Note: new</B>",
            "<p>Size: 3</p>",
            "@{home}",
            "[record]",
        ] {
            assert!(!is_object(text), "{text}");
        }
    }

    #[test]
    fn values_printed_as_code_are_recognized() {
        for text in [
            "Timestamp('2026-01-01 00:00:00')",
            "Decimal('12.5')",
            "datetime.date(2026, 1, 1)",
            "ObjectId('65a1f0c2')",
            "b'red'",
            "0     red\n1    blue\nName: tags, dtype: object",
        ] {
            assert!(is_value(text), "{text}");
        }
        for text in ["Decimal system", "b'day, c'est", "dtype: object", "Fraction (half)"] {
            assert!(!is_value(text), "{text}");
        }
    }

    #[test]
    fn lists_printed_as_code_are_recognized() {
        for text in [
            "[u'red', u'blue']",
            "[b'red']",
            r#"{a,"b c"}"#,
            "{}",
            "{'a': 1}",
            "{'a'}",
            "('a','b')",
            "('a',)",
            "()",
            "['a', 'b']",
            "[None, 'a']",
            "[nan]",
            "array(['a', 'b'], dtype=object)",
            "Array\n(\n    [0] => red\n)",
            r#"c("a", "b")"#,
            "map[a:b]",
            r#"a:1:{i:0;s:3:"red";}"#,
            r#"s:3:"red";"#,
            r#"Some("x")"#,
            ";#red;#blue;#",
            "12;#red;#3;#blue",
        ] {
            assert!(is_code(text), "{text}");
        }
        for text in [
            r#"["a","b"]"#,
            r#"{"a":1}"#,
            "[1,2]",
            "(see below)",
            "(a, b)",
            "{name}",
            "[draft] a, b",
            "Array of roses",
            "Some text (with brackets)",
            "Set(2)",
            "Set(3-teilig)",
            "Array (4 pieces)",
            "Vector(SVG)",
            "Map(1:50000)",
            "[True story]",
            "[nano] edition [2026]",
            "[None of these]",
            "{{title}}: {{vendor}}",
            "{brand}, {color}",
            "('new')",
            "a: 1",
            "(\"quoted\" title)",
            "#red;#blue",
            ";#",
            "no. 1;#red",
        ] {
            assert!(!is_code(text), "{text}");
        }
    }
}
