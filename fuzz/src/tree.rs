//! A small vault with everything that the format knows, as a list of its objects.

use std::collections::BTreeMap;

use oxcrypt_core::{
    CHUNK_LEN, ChunkIndex, CleartextName, Cryptor, DirId, LinkTarget, TestRng, seal_dir_id_file,
    seal_symlink,
};
use oxcrypt_store::{MemStore, OpenMode, Store};

/// Paths of the objects of a vault; `None` is a directory.
pub type Objects = BTreeMap<String, Option<Vec<u8>>>;

/// Contents of the files of [`vault`].
pub fn contents() -> [Vec<u8>; 4] {
    [
        Vec::new(),
        b"a few bytes".to_vec(),
        vec![0x33; CHUNK_LEN],
        (0..2 * CHUNK_LEN + 700).map(|i| (i / 7) as u8).collect(),
    ]
}

/// Targets of its links.
pub const TARGETS: [&str; 2] = ["../elsewhere", "one"];

/// Ids of its directories below the root.
pub const IDS: [&str; 3] = [
    "11111111-1111-1111-1111-111111111111",
    "22222222-2222-2222-2222-222222222222",
    "33333333-3333-3333-3333-333333333333",
];

/// Whether this was sealed as something in the vault: whole, or cut between chunks. Files, links and
/// the copies of ids are sealed alike, and nobody can see when one stands in the place of another.
pub fn was_written(content: &[u8]) -> bool {
    let is_cut = content.len().is_multiple_of(CHUNK_LEN);
    let small = TARGETS.iter().chain(&IDS);
    contents()
        .iter()
        .any(|known| known == content || (is_cut && known.starts_with(content)))
        || small.into_iter().any(|known| known.as_bytes() == content)
}

struct Builder<'a> {
    cryptor: &'a Cryptor,
    rng: TestRng,
    objects: Objects,
}

impl Builder<'_> {
    fn content_dir(&mut self, id: &DirId) -> String {
        let hash = self.cryptor.dir_hash(id);
        let path = format!("d/{}/{}", hash.prefix(), hash.rest());
        self.objects.insert(format!("d/{}", hash.prefix()), None);
        self.objects.insert(path.clone(), None);
        path
    }

    /// The path of a node, and what is needed there for its name.
    fn node(&mut self, dir: &DirId, name: &str) -> (String, bool) {
        let name = CleartextName::from_text(name).expect("a name");
        let sealed = self.cryptor.seal_name(&self.cryptor.dir_names(dir), &name);
        let path = format!("{}/{}", self.content_dir(dir), sealed.node_str());
        if sealed.is_long() {
            self.objects.insert(path.clone(), None);
            self.objects
                .insert(format!("{path}/name.c9s"), Some(sealed.full().to_vec()));
        }
        (path, sealed.is_long())
    }

    fn dir(&mut self, parent: &DirId, name: &str, id: &str) -> DirId {
        let id = DirId::parse(id.as_bytes()).expect("an id");
        let (node, _) = self.node(parent, name);
        self.objects.insert(node.clone(), None);
        self.objects
            .insert(format!("{node}/dir.c9r"), Some(id.as_bytes().to_vec()));
        self.backup(&id);
        id
    }

    fn backup(&mut self, id: &DirId) {
        let path = self.content_dir(id);
        let backup = seal_dir_id_file(self.cryptor, id, &mut self.rng);
        self.objects
            .insert(format!("{path}/dirid.c9r"), Some(backup));
    }

    fn file(&mut self, parent: &DirId, name: &str, content: &[u8]) {
        let (node, is_long) = self.node(parent, name);
        let header = self.cryptor.create_header(&mut self.rng);
        let mut sealed = header.sealed().to_vec();
        for (i, chunk) in content.chunks(CHUNK_LEN).enumerate() {
            let mut out = vec![0; chunk.len() + self.cryptor.layout().overhead()];
            let index = ChunkIndex(i as u64);
            self.cryptor
                .seal_chunk(&header, index, &mut self.rng, chunk, &mut out);
            sealed.extend(out);
        }
        let path = if is_long {
            format!("{node}/contents.c9r")
        } else {
            node
        };
        self.objects.insert(path, Some(sealed));
    }

    fn link(&mut self, parent: &DirId, name: &str, target: &str) {
        let (node, _) = self.node(parent, name);
        let target = LinkTarget::parse(target.as_bytes()).expect("a target");
        let sealed = seal_symlink(self.cryptor, &target, &mut self.rng);
        self.objects.insert(node.clone(), None);
        self.objects
            .insert(format!("{node}/symlink.c9r"), Some(sealed));
    }
}

/// The same objects every time.
pub fn vault(cryptor: &Cryptor) -> Objects {
    let mut builder = Builder {
        cryptor,
        rng: TestRng::new(7),
        objects: Objects::from([("d".to_owned(), None)]),
    };
    let long = "long ".repeat(45);
    let root = DirId::ROOT;
    builder.backup(&root);
    let sub = builder.dir(&root, "sub", IDS[0]);
    let deep = builder.dir(&sub, &long, IDS[1]);
    builder.dir(&deep, "empty", IDS[2]);
    let [nothing, few, chunk, many] = contents();
    builder.file(&root, "nothing", &nothing);
    builder.file(&root, "one", &few);
    builder.file(&root, "many", &many);
    builder.file(&sub, "one", &chunk);
    builder.file(&sub, &format!("{long}file"), &few);
    builder.file(&deep, "many", &many);
    builder.link(&root, "link", TARGETS[0]);
    builder.link(&deep, &format!("{long}link"), TARGETS[1]);
    builder.objects
}

/// A store with these objects; what cannot be put there is left out.
pub fn store(objects: &Objects) -> MemStore {
    let store = MemStore::new();
    for (path, body) in objects {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = dir.split('/').filter(|part| !part.is_empty());
        let parent = parent.fold(Some(store.root()), |at, part| {
            store.open_dir(&at?, part.as_bytes()).ok()
        });
        let Some(parent) = parent else { continue };
        match body {
            None => {
                let _ = store.create_dir(&parent, name.as_bytes(), 0o700);
            }
            Some(bytes) => {
                let mode = OpenMode::new_file(0o600);
                if let Ok(file) = store.open(&parent, name.as_bytes(), mode) {
                    let _ = store.write_at(&file, bytes, 0);
                }
            }
        }
    }
    store
}
