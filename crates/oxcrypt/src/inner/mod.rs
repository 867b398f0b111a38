//! Direct access: working with the files of a vault without mounting it.

pub(crate) mod cat;
pub(crate) mod change;
pub(crate) mod cipher;
pub(crate) mod copy;
pub(crate) mod du;
pub(crate) mod find;
pub(crate) mod ls;
pub(crate) mod node;
pub(crate) mod path;
pub(crate) mod stat;
pub(crate) mod sum;
pub(crate) mod tar;
pub(crate) mod tree;
