//! What a check can find, how bad it is, and what would mend it.

use oxcrypt_core::DirId;

use crate::layout::ContentPath;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Nothing is wrong for readers.
    Info,
    /// Something is out of place; nothing is lost, or it can be mended.
    Warning,
    /// Data cannot be read, or not told apart.
    Critical,
}

impl Severity {
    /// The stable text of reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "error",
        }
    }
}

/// The codes of findings: one enum entry, one stable text, one severity.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident;)*) => {
        /// The kind of a finding.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable text of reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How much it matters.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    /// Two `dir.c9r` files hold one id.
    Collision = "collision", Critical;
    /// A `dir.c9r` without content.
    EmptyDirFile = "empty_dirfile", Critical;
    /// A `dir.c9r` in a directory that is no node.
    LooseDirFile = "loose_dirfile", Info;
    /// A `dir.c9r` longer than any writer makes it.
    ObeseDirFile = "obese_dirfile", Critical;
    /// A `dir.c9r` whose content directory is missing.
    MissingContentDir = "missing_content_dir", Warning;
    /// A content directory without `dirid.c9r`.
    MissingDirIdBackup = "missing_dirid_backup", Info;
    /// A content directory no `dir.c9r` leads to.
    OrphanContentDir = "orphan_content_dir", Warning;
    /// A directory that lies below itself, and with all below it is out of reach.
    Unreachable = "unreachable", Critical;
    /// A `dirid.c9r` that does not hold the id of its directory.
    WrongDirIdBackup = "wrong_dirid_backup", Warning;
    /// A `.c9s` directory whose name is not the hash of its `name.c9s`.
    NameMismatch = "mismatch", Warning;
    /// A `.c9s` directory without `name.c9s`.
    MissingLongName = "missing_long_name", Critical;
    /// A `name.c9s` without an encrypted name.
    NotDecodable = "not_decodable", Critical;
    /// A `name.c9s` longer than readers accept.
    ObeseNameFile = "obese_name_file", Critical;
    /// A `name.c9s` with something after the name.
    TrailingBytes = "trailing_bytes", Warning;
    /// A node directory that is more than one of directory, link and file.
    AmbiguousType = "ambiguous", Critical;
    /// A node directory that is none of directory, link and file.
    UnknownType = "unknown", Critical;
    /// An encrypted name that is damaged or belongs elsewhere.
    NameAuth = "name_auth", Critical;
    /// A file header that is damaged or of another vault.
    HeaderAuth = "header_auth", Critical;
    /// A chunk that is damaged or belongs elsewhere.
    ChunkAuth = "chunk_auth", Critical;
    /// A file whose length no writer leaves.
    Truncated = "truncated", Critical;
    /// A file of zero bytes, not even a header: made but never written.
    ZeroByteFile = "zero_byte_file", Warning;
    /// A file that ends in an authentic chunk of zero bytes.
    EmptyTrailingChunk = "empty_trailing_chunk", Warning;
    /// A link whose target is no text or too long.
    LinkTarget = "link_target", Critical;
    /// A copy with a changed name, as synchronisation tools make on conflicts.
    ConflictCopy = "conflict_copy", Warning;
    /// Two nodes of one directory with the same cleartext name.
    DuplicateName = "duplicate_name", Warning;
    /// A name not in composed Unicode form (NFC), which most readers cannot open.
    NotNfc = "not_nfc", Warning;
    /// A long name not shortened, or a short one that is.
    WrongForm = "wrong_form", Warning;
    /// A marker of a file open on another machine.
    InUseMarker = "in_use_marker", Info;
    /// What our own interrupted work left under a temporary name; nothing is in it.
    Leftover = "leftover", Info;
    /// As [`Code::Leftover`], but it holds the content of a file.
    LeftoverData = "leftover_data", Warning;
    /// An empty directory that lost its `dirid.c9r`, as if somebody had emptied it.
    Emptied = "emptied", Warning;
    /// Something that is not part of the vault.
    ForeignFile = "foreign_file", Info;
    /// A name the target's host cannot store.
    TooLongForTarget = "too_long_for_target", Warning;
    /// The storage failed; what lies there was not checked.
    Unreadable = "unreadable", Critical;
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What kind.
    pub code: Code,
    /// The object on disk, relative to the vault.
    pub cipher_path: String,
    /// Its name in the mounted vault, if known.
    pub path: Option<String>,
    /// The chunk, for [`Code::ChunkAuth`].
    pub chunk: Option<u64>,
    /// One line for people.
    pub detail: String,
    /// What would mend it without losing anything.
    pub fix: Option<Fix>,
}

impl Finding {
    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

/// A repair. None deletes data: what has no place goes to `LOST+FOUND`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fix {
    /// Writes the `dirid.c9r` of a content directory.
    WriteDirIdBackup {
        /// The directory.
        content: ContentPath,
        /// Its id.
        id: DirId,
    },
    /// Makes the missing content directory of an id; it will be empty.
    CreateContentDir {
        /// The id.
        id: DirId,
    },
    /// Moves what an orphaned content directory holds to `LOST+FOUND`.
    AdoptOrphan {
        /// The directory.
        content: ContentPath,
    },
    /// Moves a node to `LOST+FOUND`, under a new name if its own cannot be read.
    AdoptNode {
        /// Where it is.
        content: ContentPath,
        /// Its name there.
        node: Vec<u8>,
    },
    /// Moves a loose `dir.c9r` out of the way, to the content directory of `LOST+FOUND`.
    SetLooseFileAside {
        /// Where its directory is.
        content: ContentPath,
        /// The directory that holds it; empty for the content directory itself.
        node: Vec<u8>,
    },
    /// Cuts what follows the name in a `name.c9s`.
    CutNameFile {
        /// Where the node is.
        content: ContentPath,
        /// The node.
        node: Vec<u8>,
    },
    /// Puts the new name of a `.c9s` directory in the place of the old one.
    FinishRename {
        /// Where the node is.
        content: ContentPath,
        /// The node.
        node: Vec<u8>,
    },
    /// Gives a `.c9s` directory the name its `name.c9s` asks for.
    RenameToHash {
        /// Where the node is.
        content: ContentPath,
        /// The node.
        node: Vec<u8>,
    },
    /// Removes a node that leads to a directory above itself, which another node leads to.
    RemoveSecondWay {
        /// Where it is.
        content: ContentPath,
        /// Its name there.
        node: Vec<u8>,
        /// The other node, which stays.
        other: (ContentPath, Vec<u8>),
    },
    /// Removes what interrupted work left, if nothing is in it.
    RemoveLeftover {
        /// Where it is.
        content: ContentPath,
        /// Its name there.
        node: Vec<u8>,
    },
    /// Removes a node directory that is empty.
    RemoveEmptyNode {
        /// Where the node is.
        content: ContentPath,
        /// The node.
        node: Vec<u8>,
    },
}

impl Fix {
    /// The stable text of reports.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::WriteDirIdBackup { .. } => "write_dirid_backup",
            Self::CreateContentDir { .. } => "create_content_dir",
            Self::AdoptOrphan { .. } => "adopt_orphan",
            Self::AdoptNode { .. } => "adopt_node",
            Self::SetLooseFileAside { .. } => "set_loose_file_aside",
            Self::CutNameFile { .. } => "cut_name_file",
            Self::FinishRename { .. } => "finish_rename",
            Self::RenameToHash { .. } => "rename_to_hash",
            Self::RemoveSecondWay { .. } => "remove_second_way",
            Self::RemoveLeftover { .. } => "remove_leftover",
            Self::RemoveEmptyNode { .. } => "remove_empty_node",
        }
    }
}
