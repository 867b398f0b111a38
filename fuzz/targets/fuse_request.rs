//! What comes from the kernel: a request taken apart is the same whichever way it came, and nothing
//! of it lies outside of what was sent.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oxcrypt_fuse::wire::args_len;
use oxcrypt_fuse::wire::request::{HEADER_LEN, Header, MAX_ARGS, Request};

fuzz_target!(|data: &[u8]| {
    let Ok(header) = Header::decode(data) else {
        assert!(data.len() < HEADER_LEN);
        return;
    };
    let body = &data[HEADER_LEN..];
    // Through the device, the fixed part and the rest follow each other.
    let (fixed, rest) = body.split_at(args_len(header.opcode).min(body.len()));
    let by_device = Request::decode(&header, fixed, rest);
    // In a ring the fixed part has a place of its own, with old bytes behind it.
    let mut place = [0xaa; MAX_ARGS];
    place[..fixed.len()].copy_from_slice(fixed);
    if fixed.len() == args_len(header.opcode) {
        assert_eq!(by_device, Request::decode(&header, &place, rest));
    }
    let Ok(request) = by_device else {
        return;
    };
    let no_name = |name: &[u8]| assert!(name.len() < rest.len() && !name.contains(&0));
    match request {
        Request::Lookup { name } | Request::Unlink { name } | Request::RmDir { name } => {
            no_name(name);
        }
        Request::Rename { name, new_name, .. } => {
            no_name(name);
            no_name(new_name);
        }
        Request::Symlink { name, target } => {
            no_name(name);
            no_name(target);
        }
        Request::Write(write) => assert!(write.data.len() <= rest.len()),
        Request::BatchForget(nodes) => assert!(nodes.count() * 16 <= rest.len()),
        _ => {}
    }
});
