//! The codes of tickets: 16 random bytes, as 26 digits of Crockford's base 32 (<https://www.crockford.com/base32.html>), which has no
//! `I`, `L`, `O` and `U`, and two check digits.

use std::fmt;

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The digits of the random part: 32^26 is 2^130.
const RANDOM_DIGITS: usize = 26;
/// All digits.
const LENGTH: usize = RANDOM_DIGITS + 2;
/// The check digits are the remainder of the number by this prime: one wrong digit, or two that are side by side and exchanged, have
/// another one.
const PRIME: u128 = 1021;
/// How many digits are written together.
const GROUP: usize = 4;

/// The code of a ticket: who has it is admitted. Only [`TicketCode::reveal`] shows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketCode([u8; 16]);

impl TicketCode {
    /// Makes a code from a cryptographic generator.
    pub fn mint() -> Self {
        Self(rand::random())
    }

    /// Accepts a stored code; `None` for another number of bytes.
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to store.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads what a person has typed or a scanner has read: letters of either case, `O` as 0, `I` and `L` as 1, and with or without
    /// hyphens and spaces. `None` if the check digits do not fit.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = [0; LENGTH];
        let mut count = 0;
        for letter in text.bytes().filter(|letter| !matches!(letter, b'-' | b' ')) {
            *digits.get_mut(count)? = digit(letter)?;
            count += 1;
        }
        let (random, check) = digits.split_at(RANDOM_DIGITS);
        // the first digit has three bits
        if count < LENGTH || random.first().is_none_or(|first| *first > 7) {
            return None;
        }
        let number = |digits: &[u8]| digits.iter().fold(0_u128, |number, &digit| number << 5 | u128::from(digit));
        let code = number(random);
        (code % PRIME == number(check)).then(|| Self(code.to_be_bytes()))
    }

    /// Returns the text for the buyer: seven groups of four digits.
    pub fn reveal(&self) -> String {
        let code = u128::from_be_bytes(self.0);
        let digit = |number: u128, place: usize| usize::try_from(number >> (5 * place) & 31).unwrap_or(0);
        let random = (0..RANDOM_DIGITS).rev().map(|place| digit(code, place));
        let check = (0..2).rev().map(|place| digit(code % PRIME, place));
        let mut text = String::with_capacity(LENGTH + LENGTH / GROUP);
        for (place, digit) in random.chain(check).enumerate() {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(DIGITS.get(digit).copied().unwrap_or(b'0')));
        }
        text
    }
}

/// Returns a path without the codes of tickets in it, for logs: nothing that stands where a route has a code, whether it is one or was
/// meant to be one, and nothing else that is one.
pub fn without_codes(path: &str) -> String {
    let mut is_place = false;
    let part = |part: &str| {
        let (was_place, is_code) = (is_place, is_place && !part.is_empty());
        // an encoded name of a route may be decoded by the router
        let is_name = part.eq_ignore_ascii_case("tickets") || part.contains('%') && !is_code;
        is_place = is_name || was_place && part.is_empty();
        match is_code || TicketCode::parse(part).is_some() {
            true => "{code}".to_owned(),
            false => part.to_owned(),
        }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Returns the value of a digit.
fn digit(letter: u8) -> Option<u8> {
    let letter = match letter.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        letter => letter,
    };
    let place = DIGITS.iter().position(|digit| *digit == letter)?;
    u8::try_from(place).ok()
}

impl fmt::Debug for TicketCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TicketCode")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> Vec<TicketCode> {
        let random = (0..200).map(|_| TicketCode::mint());
        random.chain([TicketCode([0; 16]), TicketCode([0xff; 16])]).collect()
    }

    #[test]
    fn a_code_is_read_as_it_was_shown_and_as_a_person_may_type_it() {
        for code in codes() {
            let text = code.reveal();
            assert_eq!((text.len(), text.split('-').count()), (34, 7));
            let typed = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
            let other = text.replace('-', "").replace('0', "O").replace('1', "I");
            for text in [&text, &typed, &other] {
                assert_eq!(TicketCode::parse(text), Some(code), "{text}");
            }
        }
        assert_eq!(TicketCode([0; 16]).reveal(), "0000-0000-0000-0000-0000-0000-0000");
        assert_eq!(&TicketCode([0xff; 16]).reveal()[..32], "7ZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZ");
    }

    #[test]
    fn one_wrong_digit_and_two_exchanged_ones_are_always_noticed() {
        for code in codes() {
            let text: Vec<u8> = code.reveal().bytes().filter(|letter| *letter != b'-').collect();
            let read = |text: &[u8]| TicketCode::parse(std::str::from_utf8(text).expect("ASCII"));
            for place in 0..text.len() {
                for &wrong in DIGITS.iter().filter(|digit| **digit != text[place]) {
                    let mut typed = text.clone();
                    typed[place] = wrong;
                    assert_eq!(read(&typed), None);
                }
                let mut typed = text.clone();
                if place > 0 && typed[place - 1] != typed[place] {
                    typed.swap(place - 1, place);
                    assert_eq!(read(&typed), None);
                }
            }
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let code = TicketCode::mint().reveal();
        let long = format!("{code}0");
        let odd = code.replacen(|_: char| true, "U", 1);
        for text in ["", "-", "0", &code[1..], &long, &odd, "8000-0000-0000-0000-0000-0000-0000", "ü"] {
            assert_eq!(TicketCode::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_path_without_codes_shows_none() {
        let code = TicketCode::mint().reveal();
        for code in [code.clone(), code.to_lowercase(), code.replace('-', ""), code.replace('-', "%2D")] {
            assert_eq!(without_codes(&format!("/api/tickets/{code}/redeem")), "/api/tickets/{code}/redeem");
        }
        // what was meant to be one: with the end of line of a scanner, encoded, or with a wrong or a missing digit
        for code in [
            format!("{code}%0D"),
            format!("{code},"),
            format!("%30{}", &code[1..]),
            format!("Z{}", &code[1..]),
            code[1..].to_owned(),
        ] {
            assert_eq!(without_codes(&format!("/api/tickets/{code}/redeem")), "/api/tickets/{code}/redeem");
            assert_eq!(
                without_codes(&format!("/api/admin/Tickets//{code}/reissue")),
                "/api/admin/Tickets//{code}/reissue"
            );
            assert_eq!(without_codes(&format!("/api/%74ickets/{code}")), "/api/%74ickets/{code}");
        }
        for path in ["/api/holds/0190a000-0000-7000-8000-000000000001", "/", "", "//x"] {
            assert_eq!(without_codes(path), path);
        }
    }

    #[test]
    fn nothing_but_its_own_text_shows_a_code() {
        assert_eq!(format!("{:?}", TicketCode::mint()), "TicketCode");
    }
}
