//! `/v1/harvest/{id}/files` and `/v1/harvest/{id}/archive`: what recordings are made of, for a player on a page of this listener, and all of
//! it as one file (tar, POSIX.1-2001 "pax").
//!
//! Invariants: only what lies in the server's own folder for recordings is given out, and to those who might have made the recording; never
//! as a page or script. One file is held in memory at a time.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

use super::harvest::{Harvests, NotKept, Progress, RecordedFile, unknown};
use super::objects::{check_destination, make_passive, stand_in};
use super::visitor::Visitor;
use crate::auth::grant::Action;
use crate::web::exchange::Exchange;
use crate::web::problem::Problem;
use crate::web::problem::code::Code;

/// What a tar file is made of.
const BLOCK: usize = 512;

impl From<NotKept> for Problem {
    fn from(error: NotKept) -> Self {
        match error {
            NotKept::Unknown => unknown(),
            NotKept::Absent => Self::new(Code::NotFound, "the recording has no such file: its playlists name those it has"),
            NotKept::Elsewhere => {
                let detail = "this recording went into a bucket: its files are there, and not with this server";
                Self::new(Code::NotFound, detail)
            }
            NotKept::Unreadable(error) => Self::new(Code::Internal, format!("the recording's folder can't be read: {error}")),
        }
    }
}

/// A recording that this visitor may have the files of.
fn seen(harvests: &dyn Harvests, visitor: &Visitor, id: &str) -> Result<Progress, Problem> {
    let progress = harvests.find(id).filter(|progress| may_have(visitor, progress)).ok_or_else(unknown)?;
    // Another one may have gone to the same place since, in place of this.
    let same = |other: &&Progress| other.place() == progress.place();
    let all = harvests.recent();
    if all.iter().filter(same).all(|other| may_have(visitor, other)) { Ok(progress) } else { Err(unknown()) }
}

/// Whether all that it may have read is his to read: what a playlist names may lie beside its own folder.
fn may_have(visitor: &Visitor, progress: &Progress) -> bool {
    let Ok((_, grant)) = stand_in(visitor, Action::Read, &progress.namespace) else { return false };
    let Some(own) = grant.prefix.as_deref() else { return true };
    progress.playlist.starts_with(own) && progress.prefix.as_deref().is_some_and(|read| read.starts_with(own))
}

async fn read(harvests: &Arc<dyn Harvests>, id: &str, name: &str) -> Result<RecordedFile, NotKept> {
    let (harvests, id, name) = (Arc::clone(harvests), id.to_owned(), name.to_owned());
    let read = tokio::task::spawn_blocking(move || harvests.file(&id, &name)).await;
    read.unwrap_or_else(|_| Err(NotKept::Unreadable("the server is about to end".to_owned())))
}

/// One file of it.
pub(super) async fn file(
    harvests: &Arc<dyn Harvests>,
    visitor: &Visitor,
    exchange: &Exchange<'_>,
    [id, name]: [&str; 2],
) -> Result<Response, Problem> {
    check_destination(&exchange.parts.headers)?;
    seen(&**harvests, visitor, id)?;
    let RecordedFile { content_type, body } = read(harvests, id, name).await?;
    let length = HeaderValue::from(body.len());
    let mut response = ([(CONTENT_TYPE, content_type)], body).into_response();
    response.headers_mut().insert(CONTENT_LENGTH, length);
    make_passive(response.headers_mut());
    Ok(response)
}

/// All of them as one.
pub(super) async fn archive(harvests: &Arc<dyn Harvests>, visitor: &Visitor, id: &str) -> Result<Response, Problem> {
    let progress = seen(&**harvests, visitor, id)?;
    let (all, of) = (Arc::clone(harvests), id.to_owned());
    let names = tokio::task::spawn_blocking(move || all.files(&of)).await;
    let names = names.unwrap_or_else(|_| Err(NotKept::Unreadable("the server is about to end".to_owned())))?;
    let folder = folder_of(&progress.id);
    let pieces = (Arc::clone(harvests), id.to_owned(), folder.clone(), names.into_iter(), false);
    let stream = futures_util::stream::unfold(pieces, |(harvests, id, folder, mut names, is_over)| async move {
        if is_over {
            return None;
        }
        let Some(name) = names.next() else {
            return Some((Ok(Bytes::from(vec![0; 2 * BLOCK])), (harvests, id, folder, names, true)));
        };
        let piece = match read(&harvests, &id, &name).await {
            Ok(file) => Ok(Bytes::from(entry(&format!("{folder}/{name}"), &file.body))),
            // It was there a moment ago: an archive that lacks it is not sent as a whole one.
            Err(_) => Err(std::io::Error::other("a file of the recording is gone")),
        };
        let is_over = piece.is_err();
        Some((piece, (harvests, id, folder, names, is_over)))
    });
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    make_passive(headers);
    if let Ok(name) = HeaderValue::try_from(format!("attachment; filename=\"{folder}.tar\"")) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// What the archive, and the folder in it, is called.
fn folder_of(id: &str) -> String {
    format!("recording-{id}")
}

/// A file with what stands before it, up to a whole block.
fn entry(name: &str, body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(3 * BLOCK + body.len());
    let mut short = name;
    if name.len() > 100 {
        // A longer name stands in a file of its own before it: the length of a line counts its own digits.
        let rest = format!(" path={name}\n");
        let mut length = rest.len() + 2;
        while length != rest.len() + length.to_string().len() {
            length = rest.len() + length.to_string().len();
        }
        let line = format!("{length}{rest}");
        text.extend(header("pax", line.len(), b'x'));
        pad(&mut text, line.as_bytes());
        short = name.get(name.len() - 100..).unwrap_or("file");
    }
    text.extend(header(short, body.len(), b'0'));
    pad(&mut text, body);
    text
}

fn pad(text: &mut Vec<u8>, body: &[u8]) {
    text.extend(body);
    text.resize(text.len().next_multiple_of(BLOCK), 0);
}

/// A header block: name, mode, owners, length, time, sum, kind, all but the name in octal digits.
fn header(name: &str, length: usize, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{length:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(257, "ustar\u{0}00");
    block[156] = kind;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_whole_blocks_with_a_right_sum_and_long_names_stand_before_it() {
        let short = entry("a/b.ts", b"body");
        assert_eq!((short.len(), &short[..6], &short[BLOCK..BLOCK + 4]), (2 * BLOCK, &b"a/b.ts"[..], &b"body"[..]));
        assert_eq!(&short[124..136], b"00000000004\0");
        let sum: u32 = short[..BLOCK]
            .iter()
            .enumerate()
            .map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte }))
            .sum();
        assert_eq!(&short[148..154], format!("{sum:06o}").as_bytes());
        let name = format!("a/{}.ts", "n".repeat(100));
        let long = entry(&name, &[]);
        let line = format!("115 path={name}\n");
        assert_eq!((line.len(), long[156]), (115, b'x'));
        assert_eq!(&long[BLOCK..BLOCK + line.len()], line.as_bytes());
        assert_eq!(long.len(), 3 * BLOCK);
    }
}
