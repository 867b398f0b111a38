//! The Cryptomator vault format as pure functions.
