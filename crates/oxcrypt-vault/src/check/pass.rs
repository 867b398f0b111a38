//! Second pass: every node of every content directory, on several threads.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use oxcrypt_core::{Cryptor, MAX_SYMLINK_FILE_LEN, open_symlink};
use oxcrypt_store::{Store, StoreError, StoreErrorKind};

use super::content::{self, Form, Scratch};
use super::finding::{Code, Finding, Fix};
use super::node::{Examiner, Node};
use super::pile::{DirJob, FileJob, Job, Listing, Pile};
use super::structure::unreadable;
use super::survey::{Content, Survey, entries};
use super::{CheckOptions, CheckSummary, Event};
use crate::dir_id_backup::{self, DirIdBackupError};
use crate::layout::{ContentPath, lossy};

pub(super) struct Pass<'a, S: Store> {
    pub(super) store: &'a S,
    pub(super) cryptor: &'a Cryptor,
    pub(super) survey: &'a Survey,
    pub(super) options: &'a CheckOptions,
}

/// What workers tell the thread that called.
enum Message {
    Finding(Finding),
    Nodes(u64),
    Bytes(u64),
    DirDone(usize),
}

impl<S: Store> Pass<'_, S> {
    pub(super) fn run(
        &self,
        jobs: usize,
        summary: &mut CheckSummary,
        observe: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) {
        let total = self.survey.contents.len();
        summary.progress.dirs_total = total as u64;
        let pile = Pile::new();
        // Bounded, so that findings cannot pile up faster than they are told.
        let (send, receive) = mpsc::sync_channel(1024);
        std::thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                let (pile, send) = (&pile, send.clone());
                scope.spawn(move || self.work(pile, &send));
            }
            drop(send);
            for message in receive {
                if !summary.stopped && self.tell(message, summary, observe).is_break() {
                    summary.stopped = true;
                    pile.stop();
                }
            }
        });
    }

    fn tell(
        &self,
        message: Message,
        summary: &mut CheckSummary,
        observe: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match message {
            Message::Finding(finding) => {
                summary.count(finding.severity());
                observe(Event::Finding(finding))
            }
            Message::Nodes(count) => {
                summary.progress.nodes += count;
                ControlFlow::Continue(())
            }
            Message::Bytes(count) => {
                summary.progress.bytes += count;
                ControlFlow::Continue(())
            }
            Message::DirDone(index) => {
                summary.progress.dirs += 1;
                observe(Event::DirDone(self.survey.contents[index].path.to_string()))?;
                observe(Event::Progress(summary.progress))
            }
        }
    }

    fn work(&self, pile: &Pile<S::Dir>, send: &mpsc::SyncSender<Message>) {
        let mut scratch = Scratch::new(self.cryptor.layout());
        let mut worker = Worker {
            pass: self,
            pile,
            send,
            scratch: &mut scratch,
        };
        while let Some(job) = pile.take(self.survey.contents.len()) {
            match job {
                Job::File(file) => worker.examine_file(&file),
                Job::Dir(index) => {
                    let _listing = Listing(pile);
                    worker.examine_dir(index);
                }
            }
        }
    }

    /// The cleartext path of a directory; `None` where a name on the way is unknown.
    fn clear_path(&self, content: &Content) -> Option<String> {
        let mut names = Vec::new();
        // A damaged vault may hold a directory below itself.
        let mut seen = HashSet::new();
        let mut owner = content.owner.as_ref()?;
        while let Some(place) = &owner.node {
            if !seen.insert(place.content) {
                return None;
            }
            let parent = &self.survey.contents[place.content];
            let parent_owner = parent.owner.as_ref()?;
            names.push(self.clear_name(parent, &parent_owner.id, &place.name)?);
            owner = parent_owner;
        }
        if !owner.id.is_root() {
            return None;
        }
        names.push(String::new());
        names.reverse();
        Some(names.join("/"))
    }

    fn clear_name(
        &self,
        content: &Content,
        id: &oxcrypt_core::DirId,
        node: &[u8],
    ) -> Option<String> {
        let names = self.cryptor.dir_names(id);
        let mut buf = oxcrypt_core::NameBuf::new();
        let open = |full: &[u8], buf: &mut oxcrypt_core::NameBuf| {
            self.cryptor
                .open_name(&names, full, buf)
                .ok()
                .map(str::to_owned)
        };
        if !node.ends_with(b".c9s") {
            return open(node, &mut buf);
        }
        let file = [node, b"/name.c9s"].concat();
        let dir = content.path.open(self.store).ok()?;
        let max_len = oxcrypt_core::name::MAX_NAME_FILE_LEN;
        let bytes = self.store.read_small(&dir, &file, max_len).ok()?;
        open(
            oxcrypt_core::name::NameFile::parse(&bytes).ok()?.full(),
            &mut buf,
        )
    }
}

struct Worker<'a, S: Store> {
    pass: &'a Pass<'a, S>,
    pile: &'a Pile<S::Dir>,
    send: &'a mpsc::SyncSender<Message>,
    scratch: &'a mut Scratch,
}

impl<S: Store> Worker<'_, S> {
    /// The receiver leaves only after all workers.
    fn tell(&self, message: Message) {
        let _ = self.send.send(message);
    }

    fn examine_dir(&mut self, index: usize) {
        let content = &self.pass.survey.contents[index];
        let shown = content.path.to_string();
        if self.pass.options.done.contains(&shown) {
            self.tell(Message::DirDone(index));
            return;
        }
        let dir = match content.path.open(self.pass.store) {
            Ok(dir) => dir,
            Err(error) => {
                let is_told = self
                    .pass
                    .survey
                    .unreadable
                    .iter()
                    .any(|(path, _)| *path == shown);
                if !is_told && !error.is_not_found() {
                    self.tell(Message::Finding(unreadable(shown, error)));
                }
                return self.tell(Message::DirDone(index));
            }
        };
        let path = self.pass.clear_path(content);
        let open = AtomicUsize::new(1);
        let job = Arc::new(DirJob {
            index,
            dir,
            path,
            open,
        });
        if let Err(error) = self.examine_entries(content, &job) {
            self.tell(Message::Finding(unreadable(shown, error)));
        }
        self.close(&job);
    }

    fn close(&self, job: &DirJob<S::Dir>) {
        if job.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tell(Message::DirDone(job.index));
        }
    }

    fn examine_entries(
        &mut self,
        content: &Content,
        job: &Arc<DirJob<S::Dir>>,
    ) -> Result<(), StoreError> {
        let (store, cryptor) = (self.pass.store, self.pass.cryptor);
        if content.has_backup {
            self.examine_backup(content, &job.dir);
        }
        let names = content
            .owner
            .as_ref()
            .map(|owner| cryptor.dir_names(&owner.id));
        let (path, dir, names) = (&content.path, &job.dir, names.as_ref());
        let examiner = Examiner {
            store,
            cryptor,
            content: path,
            dir,
            names,
        };
        let mut first_of: HashMap<String, Vec<u8>> = HashMap::new();
        for entry in entries(store, dir)? {
            if self.pile.is_stopped() {
                break;
            }
            let node = match examiner.examine(&entry) {
                Ok(node) => node,
                Err(error) if error.is_not_found() => continue,
                Err(error) => {
                    let place = format!("{path}/{}", lossy(&entry.name));
                    self.tell(Message::Finding(unreadable(place, error)));
                    continue;
                }
            };
            self.tell(Message::Nodes(1));
            if let Some(name) = &node.name
                && let Some(first) = first_of.insert(name.clone(), entry.name.clone())
            {
                let detail = format!("{} has the same name", lossy(&first));
                self.tell_flaw(
                    job,
                    path,
                    &entry.name,
                    "",
                    &node,
                    Code::DuplicateName,
                    detail,
                    None,
                );
            }
            self.follow_up(job, content, &entry.name, node);
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a finding")]
    fn tell_flaw(
        &self,
        job: &DirJob<S::Dir>,
        content: &ContentPath,
        node_name: &[u8],
        inside: &str,
        node: &Node,
        code: Code,
        detail: String,
        fix: Option<Fix>,
    ) {
        let slash = if inside.is_empty() { "" } else { "/" };
        let cipher_path = format!("{content}/{}{slash}{inside}", lossy(node_name));
        let path = child_path(job.path.as_deref(), node.name.as_deref());
        self.tell(Message::Finding(Finding {
            code,
            cipher_path,
            path,
            chunk: None,
            detail,
            fix,
        }));
    }

    /// Tells the flaws of a node and examines its files, or has them examined.
    fn follow_up(
        &mut self,
        job: &Arc<DirJob<S::Dir>>,
        content: &Content,
        node_name: &[u8],
        mut node: Node,
    ) {
        let path = &content.path;
        for flaw in std::mem::take(&mut node.flaws) {
            let (inside, detail) = (flaw.inside, flaw.detail);
            // Adopting an orphan comes first, and moves its nodes.
            let fix = flaw.fix.filter(|_| content.is_reached);
            self.tell_flaw(job, path, node_name, inside, &node, flaw.code, detail, fix);
        }
        for name in std::mem::take(&mut node.files) {
            job.open.fetch_add(1, Ordering::AcqRel);
            let file = FileJob {
                owner: Arc::clone(job),
                path: child_path(job.path.as_deref(), node.name.as_deref()),
                is_link: node.link.as_ref() == Some(&name),
                name,
            };
            if let Some(file) = self.pile.put(file) {
                self.examine_file(&file);
            }
        }
    }

    fn examine_backup(&self, content: &Content, dir: &S::Dir) {
        let (store, cryptor) = (self.pass.store, self.pass.cryptor);
        let cipher_path = format!("{}/dirid.c9r", content.path);
        let detail = match dir_id_backup::read(store, cryptor, dir) {
            Ok(id) if ContentPath::of(cryptor, &id) == content.path => return,
            Ok(_) => "holds the id of another directory".to_owned(),
            Err(DirIdBackupError::Store(error)) if error.kind != StoreErrorKind::TooLarge => {
                return self.tell(Message::Finding(unreadable(cipher_path, error)));
            }
            Err(error) => error.to_string(),
        };
        let id = content.owner.as_ref().map(|owner| owner.id.clone());
        let fix = id.map(|id| Fix::WriteDirIdBackup {
            content: content.path.clone(),
            id,
        });
        let code = Code::WrongDirIdBackup;
        let finding = Finding {
            code,
            cipher_path,
            path: None,
            chunk: None,
            detail,
            fix,
        };
        self.tell(Message::Finding(finding));
    }

    fn examine_file(&mut self, file: &FileJob<S::Dir>) {
        let pass = self.pass;
        let (dir, every_chunk) = (&file.owner.dir, pass.options.content);
        let content = &pass.survey.contents[file.owner.index].path;
        let cipher_path = || format!("{content}/{}", lossy(&file.name));
        let form = if file.is_link {
            Form::Link
        } else {
            Form::Content
        };
        let examined = content::examine(
            pass.store,
            pass.cryptor,
            dir,
            &file.name,
            form,
            every_chunk,
            self.scratch,
        );
        match examined {
            Ok(verdict) => {
                let is_sound = verdict.flaws.is_empty();
                for flaw in verdict.flaws {
                    self.tell(Message::Finding(Finding {
                        code: flaw.code,
                        cipher_path: cipher_path(),
                        path: file.path.clone(),
                        chunk: flaw.chunk,
                        detail: flaw.detail,
                        fix: None,
                    }));
                }
                self.tell(Message::Bytes(verdict.bytes));
                if file.is_link && is_sound && every_chunk {
                    self.examine_link(file, cipher_path());
                }
            }
            // Removed while we were busy.
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                let mut finding = unreadable(cipher_path(), error);
                finding.path.clone_from(&file.path);
                self.tell(Message::Finding(finding));
            }
        }
        self.close(&file.owner);
    }

    fn examine_link(&self, file: &FileJob<S::Dir>, cipher_path: String) {
        let pass = self.pass;
        let target = pass
            .store
            .read_small(&file.owner.dir, &file.name, MAX_SYMLINK_FILE_LEN)
            .map_err(|error| error.to_string())
            .and_then(|sealed| {
                open_symlink(pass.cryptor, &sealed).map_err(|error| error.to_string())
            });
        if let Err(detail) = target {
            let (code, path) = (Code::LinkTarget, file.path.clone());
            let finding = Finding {
                code,
                cipher_path,
                path,
                chunk: None,
                detail,
                fix: None,
            };
            self.tell(Message::Finding(finding));
        }
    }
}

fn child_path(dir: Option<&str>, name: Option<&str>) -> Option<String> {
    Some(format!("{}/{}", dir?, name?))
}
