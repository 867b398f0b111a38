//! Requests read from /dev/fuse, replies written to it, by any number of threads.

use std::io;
use std::sync::Arc;

use oxcrypt_store::Store;
use zeroize::Zeroizing;

use super::Shared;
use crate::ops::{MAX_IO, Outcome};
use crate::wire::args_len;
use crate::wire::request::{HEADER_LEN, Header, MAX_ARGS};

const PAGE: usize = 4096;
/// Where a request is put, so that the data of a write, and that of a read's reply, begin a page.
const START: usize = PAGE - HEADER_LEN - 40;

/// Space for one request and, over what followed its header, its reply. Only what is used of it
/// becomes resident.
struct Frame(Zeroizing<Vec<u8>>);

impl Frame {
    fn new() -> Self {
        Self(Zeroizing::new(vec![0; PAGE + MAX_IO + PAGE]))
    }

    /// Where the next request goes.
    fn space(&mut self) -> &mut [u8] {
        &mut self.0[START..]
    }
}

/// Serves until the mount ends.
pub(crate) fn serve<S: Store>(shared: &Arc<Shared<S>>) -> io::Result<()> {
    let mut frame = Frame::new();
    while let Some(len) = shared.device.receive(frame.space())? {
        if shared.server.options.spawn_each {
            hand_over(shared, &frame.space()[..len]);
        } else {
            answer(shared, &mut frame, len);
        }
    }
    Ok(())
}

/// Has another thread answer a request, in a frame of its own.
fn hand_over<S: Store>(shared: &Arc<Shared<S>>, request: &[u8]) {
    let mut frame = Frame::new();
    frame.space()[..request.len()].copy_from_slice(request);
    let (shared, len) = (Arc::clone(shared), request.len());
    Arc::clone(&shared)
        .pool
        .spawn(move || answer(&shared, &mut frame, len));
}

fn answer<S: Store>(shared: &Shared<S>, frame: &mut Frame, len: usize) {
    let space = frame.space();
    let Ok(header) = Header::decode(&space[..len.min(space.len())]) else {
        tracing::error!(len, "a request without a header");
        return;
    };
    let (whole, room) = space.split_at_mut(HEADER_LEN + args_len(header.opcode));
    let fixed = &whole[HEADER_LEN..whole.len().min(len)];
    let mut args = [0; MAX_ARGS];
    args[..fixed.len()].copy_from_slice(fixed);
    let sent = len.saturating_sub(whole.len());
    let device = &shared.device;
    match shared
        .server
        .answer(&header, &args[..fixed.len()], room, sent)
    {
        Outcome::Reply(reply) => device.reply(header.unique, &reply),
        Outcome::Data(len) => device.data(header.unique, &room[..len]),
        Outcome::Later(work) => {
            let device = Arc::clone(device);
            shared
                .pool
                .run(work, move |reply| device.reply(header.unique, reply));
        }
        Outcome::Silence => {}
    }
    crate::trace::replied();
}
