//! Which names a store accepts: nothing that could climb, start over, or hide a component.

use crate::error::{Result, StoreError, StoreErrorKind};

/// A checked name of one or two components.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parts<'a> {
    One(&'a [u8]),
    Two(&'a [u8], &'a [u8]),
}

/// Accepts exactly one component.
pub(crate) fn one(name: &[u8]) -> Result<&[u8]> {
    match parts(name)? {
        Parts::One(part) => Ok(part),
        Parts::Two(..) => Err(INVALID),
    }
}

/// Accepts one component, or two separated by a single slash.
pub(crate) fn parts(name: &[u8]) -> Result<Parts<'_>> {
    match name.iter().position(|&byte| byte == b'/') {
        None => component(name).map(Parts::One),
        Some(at) => {
            let (first, second) = (component(&name[..at])?, component(&name[at + 1..])?);
            if second.contains(&b'/') {
                Err(INVALID)
            } else {
                Ok(Parts::Two(first, second))
            }
        }
    }
}

const INVALID: StoreError = StoreError::new(StoreErrorKind::InvalidInput);

fn component(part: &[u8]) -> Result<&[u8]> {
    match part {
        b"" | b"." => Err(INVALID),
        b".." => Err(StoreError::new(StoreErrorKind::Escape)),
        _ if part.contains(&0) => Err(INVALID),
        _ => Ok(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn climbing_absolute_and_nested_names_are_refused() {
        for bad in [
            &b""[..],
            b".",
            b"/",
            b"/a",
            b"a/",
            b"a//b",
            b"a/./b",
            b"a/b/c",
            b"a\0b",
            b"./a",
        ] {
            assert_eq!(
                parts(bad).unwrap_err().kind,
                StoreErrorKind::InvalidInput,
                "{bad:?}"
            );
        }
        for escape in [&b".."[..], b"../a", b"a/.."] {
            assert_eq!(
                parts(escape).unwrap_err().kind,
                StoreErrorKind::Escape,
                "{escape:?}"
            );
        }
        assert_eq!(one(b"a/b").unwrap_err().kind, StoreErrorKind::InvalidInput);
    }

    #[test]
    fn one_and_two_components_are_accepted() {
        assert_eq!(one(b"...").unwrap(), b"...");
        assert!(matches!(
            parts(b"X.c9r/dir.c9r").unwrap(),
            Parts::Two(b"X.c9r", b"dir.c9r")
        ));
    }
}
