//! Notifications: what we tell the kernel unasked, through /dev/fuse.

use oxcrypt_vfs::NodeId;

use super::Struct;

const INVAL_INODE: u32 = 2;
const INVAL_ENTRY: u32 = 3;
const PRUNE: u32 = 9;
/// Flag of `INVAL_ENTRY`.
const EXPIRE_ONLY: u32 = 1;
/// Longest name in a notification.
pub const MAX_NAME: usize = 255;
/// Most nodes in a notification.
pub const MAX_NODES: usize = 32;
const HEADER_LEN: usize = 16;

const MAX_LEN: usize = HEADER_LEN + 16 + MAX_NAME + 1;

/// A notification as it is written.
#[derive(Debug)]
pub struct Notification(Struct<MAX_LEN>);

fn head(code: u32, body_len: usize) -> Struct<MAX_LEN> {
    let len = u32::try_from(HEADER_LEN + body_len).unwrap_or(u32::MAX);
    Struct::new().u32(len).u32(code).u64(0)
}

impl Notification {
    /// Attributes and content of a node have changed.
    #[must_use]
    pub fn node(node: NodeId) -> Self {
        // From the beginning to the end.
        Self(head(INVAL_INODE, 24).u64(node.0).u64(0).u64(0))
    }

    /// What a name means has changed; none for a name that cannot exist. What is mounted below it is
    /// unmounted, and who works in it is in a directory without a name.
    #[must_use]
    pub fn entry(parent: NodeId, name: &[u8]) -> Option<Self> {
        Self::about_name(parent, name, 0)
    }

    /// What a name means may have changed: the kernel asks again when it is used, and nothing happens
    /// if it still means the same. Before Linux 6.2 the same as [`Notification::entry`].
    #[must_use]
    pub fn expired(parent: NodeId, name: &[u8]) -> Option<Self> {
        Self::about_name(parent, name, EXPIRE_ONLY)
    }

    /// Nodes to be forgotten if nobody uses them, at most [`MAX_NODES`]. Since Linux 6.18.
    #[must_use]
    pub fn unwanted(nodes: &[NodeId]) -> Self {
        let nodes = &nodes[..nodes.len().min(MAX_NODES)];
        let count = u32::try_from(nodes.len()).unwrap_or(0);
        let out = head(PRUNE, 16 + 8 * nodes.len()).u32(count).u32(0).u64(0);
        Self(nodes.iter().fold(out, |out, node| out.u64(node.0)))
    }

    fn about_name(parent: NodeId, name: &[u8], flags: u32) -> Option<Self> {
        if name.is_empty() || name.len() > MAX_NAME {
            return None;
        }
        let out = head(INVAL_ENTRY, 16 + name.len() + 1)
            .u64(parent.0)
            .u32(u32::try_from(name.len()).ok()?)
            .u32(flags);
        Some(Self(out.raw(name).zeros(1)))
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_include_the_header() {
        let whole = |n: &Notification| u32::from_ne_bytes(*n.bytes().first_chunk().unwrap());
        let node = Notification::node(NodeId(3));
        assert_eq!((node.bytes().len(), whole(&node)), (40, 40));
        let unwanted = Notification::unwanted(&[NodeId(3), NodeId(4)]);
        assert_eq!((unwanted.bytes().len(), whole(&unwanted)), (48, 48));
        assert_eq!(unwanted.bytes()[16..20], 2_u32.to_ne_bytes());
        assert_eq!(unwanted.bytes()[40..], 4_u64.to_ne_bytes());
        let many = Notification::unwanted(&[NodeId(3); MAX_NODES + 1]);
        assert_eq!((many.bytes().len(), whole(&many)), (288, 288));
        let entry = Notification::entry(NodeId(3), &[b'a'; MAX_NAME]).unwrap();
        assert_eq!((entry.bytes().len(), whole(&entry)), (288, 288));
        assert_eq!(entry.bytes().last(), Some(&0));
        let expired = Notification::expired(NodeId(3), &[b'a'; MAX_NAME]).unwrap();
        let flags = |n: &Notification| *n.bytes()[28..].first_chunk::<4>().unwrap();
        assert_eq!(
            (whole(&expired), flags(&expired)),
            (288, 1_u32.to_ne_bytes())
        );
        assert_eq!(flags(&entry), [0; 4]);
        assert!(Notification::entry(NodeId(3), &[b'a'; MAX_NAME + 1]).is_none());
        assert!(Notification::entry(NodeId(3), b"").is_none());
    }
}
