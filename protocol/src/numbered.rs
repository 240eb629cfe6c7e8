//! Reasons that travel as a number: each is written once, with its number, its text and what it means.

/// Makes an enum of reasons with `ALL` and `from_number`. Attributes before its name are added to it.
macro_rules! numbered {
    (
        $(#[$attribute:meta])*
        $type:ident: $number_type:ty;
        $($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*
    ) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, thiserror::Error)]
        $(#[$attribute])*
        pub enum $type {
            $($(#[$doc])* #[error($text)] $name = $number,)*
        }

        impl $type {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The one of that number; `None` for a number that this program does not know.
            pub fn from_number(number: $number_type) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| *known as $number_type == number)
            }
        }
    };
}
pub(crate) use numbered;
