//! Formats numbers digit by digit. File objects contain several, for which `format!` would cost more
//! than the rest of the object.

/// Appends the lowest `places` decimal digits.
pub(crate) fn push_decimal(text: &mut String, number: u64, places: u32) {
    push(text, number, 10, places);
}

/// Appends the lowest `places` hexadecimal digits.
pub(crate) fn push_hex(text: &mut String, number: u64, places: u32) {
    push(text, number, 16, places);
}

fn push(text: &mut String, number: u64, base: u64, places: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = number;
    let mut digits = [b'0'; 20];
    let places = usize::try_from(places).map_or(20, |places| places.min(20));
    for digit in digits[..places].iter_mut().rev() {
        *digit = DIGITS[usize::try_from(rest % base).expect("less than 16")];
        rest /= base;
    }
    *text += str::from_utf8(&digits[..places]).expect("digits are ASCII");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_match_those_of_format() {
        for number in [0, 7, 42, 1_566_630_881_313, u64::MAX] {
            let mut text = String::new();
            push_decimal(&mut text, number, 20);
            push_hex(&mut text, number, 16);
            assert_eq!(text, format!("{number:020}{number:016x}"));
        }
        let mut text = String::new();
        push_decimal(&mut text, 12_345, 3);
        assert_eq!(text, "345");
    }
}
