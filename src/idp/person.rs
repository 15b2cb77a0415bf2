//! A made-up person, like the one that the start-up script of Okta's suite makes: a new one for
//! each run, so that a suite can be played again on the same server.

use super::variables::Variables;

/// One person with the names and identifiers that a suite sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// `Runscope` and three digits.
    pub given_name: String,
    /// A capital, eight letters, three digits.
    pub family_name: String,
    /// Given and family name, at `atko.com`; also the userName.
    pub email: String,
    /// The identifier that Okta gives its users: `00u` and 17 letters or digits.
    pub external_id: String,
    /// The placeholder that Okta sends in every create.
    pub password: String,
    /// 32 hexadecimal digits that are nobody's id.
    pub nobody: String,
}

impl Person {
    /// The number of random bytes that make one person.
    pub const RANDOM_BYTES: usize = 64;

    /// The person determined by these bytes.
    pub fn from_random(bytes: [u8; Self::RANDOM_BYTES]) -> Self {
        let mut bytes = bytes.into_iter();
        let mut draw = |alphabet: &str, count: usize| -> String {
            let letters = alphabet.as_bytes();
            let letter = |byte: u8| char::from(letters[usize::from(byte) % letters.len()]);
            bytes.by_ref().take(count).map(letter).collect()
        };
        let given_name = format!("Runscope{}", draw(DIGITS, 3));
        let capital = draw(CAPITALS, 1);
        let family_name = format!("{capital}{}{}", draw(SMALL, 8), draw(DIGITS, 3));
        Self {
            email: format!("{given_name}{family_name}@atko.com"),
            external_id: format!("00u{}", draw(LETTERS_AND_DIGITS, 17)),
            password: draw(LETTERS_AND_DIGITS, 8),
            nobody: draw(HEXADECIMAL, 24).repeat(2)[..32].to_owned(),
            given_name,
            family_name,
        }
    }

    /// The variables that the tables use: `{givenName}`, `{familyName}`, `{userName}`,
    /// `{userNameCapitals}`, `{newGivenName}`, `{externalId}`, `{password}`, `{nobody}`.
    pub fn variables(&self) -> Variables {
        let mut variables = Variables::default();
        variables.set("givenName", self.given_name.clone());
        variables.set("familyName", self.family_name.clone());
        variables.set("userName", self.email.clone());
        variables.set("userNameCapitals", self.email.to_uppercase());
        // Okta's CRUD suite appends this word to the first name to change it.
        variables.set("newGivenName", format!("{}update", self.given_name));
        variables.set("externalId", self.external_id.clone());
        variables.set("password", self.password.clone());
        variables.set("nobody", self.nobody.clone());
        variables
    }
}

const DIGITS: &str = "0123456789";
const CAPITALS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const SMALL: &str = "abcdefghijklmnopqrstuvwxyz";
const HEXADECIMAL: &str = "0123456789abcdef";
const LETTERS_AND_DIGITS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_the_shape_that_the_start_up_script_gives() {
        let person = Person::from_random([27; Person::RANDOM_BYTES]);
        assert_eq!(person.given_name, "Runscope777");
        assert_eq!(person.family_name, "Bbbbbbbbb777");
        assert_eq!(person.email, "Runscope777Bbbbbbbbb777@atko.com");
        assert_eq!(person.external_id, format!("00u{}", "R".repeat(17)));
        assert_eq!(person.password, "RRRRRRRR");
        assert_eq!(person.nobody, "b".repeat(32));
    }

    #[test]
    fn the_random_bytes_suffice() {
        let bytes = std::array::from_fn(|at| u8::try_from(at).expect("under 256"));
        let person = Person::from_random(bytes);
        assert_eq!(person.nobody.len(), 32);
        assert_eq!(person.external_id.len(), 20);
        assert_ne!(person, Person::from_random([0; Person::RANDOM_BYTES]));
    }
}
