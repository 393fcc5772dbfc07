//! What the server says, as what was asked: a [`Reply`].

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Value;
use super::packed;
use crate::store::shared::{
    BucketClaim, Decision, EngineCall, JournalNews, Journaled, Node, ObjectName, Reply, TakenTerm, Term, Version,
};

pub(super) fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

pub(super) fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(Bytes::from(bytes)),
        Value::SimpleString(text) => Some(Bytes::from(text.into_bytes())),
        Value::VerbatimString { text, .. } => Some(Bytes::from(text.into_bytes())),
        _ => None,
    }
}

pub(super) fn text(value: Value) -> Option<String> {
    String::from_utf8(bytes(value)?.to_vec()).ok()
}

fn count(value: Value) -> Option<u64> {
    text(value)?.parse().ok()
}

fn pairs(value: Value) -> Option<Vec<(Bytes, Bytes)>> {
    let values: Option<Vec<Bytes>> = array(value)?.into_iter().map(bytes).collect();
    Some(values?.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
}

fn name(bytes: &Bytes) -> Option<ObjectName> {
    Some(ObjectName::from(std::str::from_utf8(bytes).ok()?))
}

/// What a function said: the time, and the reply.
pub(super) fn answer(call: &EngineCall, told: Value) -> Option<(u64, Reply)> {
    let mut told = array(told)?.into_iter();
    let (time, how, mut said) = (count(told.next()?)?, text(told.next()?)?, told.next());
    if how == "other term" {
        return Some((time, Reply::OtherTerm));
    }
    let mut said = array(said.take()?)?.into_iter();
    let reply = match call {
        EngineCall::Takeover { .. } => {
            let newest = packed::read_version(&bytes(said.next()?)?)?;
            let (began, served) = (count(said.next()?)?, count(said.next()?)?);
            Reply::Taken(TakenTerm { newest, now: time, began, served, is_first: count(said.next()?)? > 0 })
        }
        EngineCall::Read { .. } => match (text(said.next()?)?.as_str(), said.next()) {
            ("steps", Some(told)) => return Some((0, Reply::Steps(steps(told)?))),
            _ => return Some((0, Reply::NoSuchPlace)),
        },
        EngineCall::Assert { .. } => {
            let overtaken: Option<Vec<_>> = said.map(|said| name(&bytes(said)?)).collect();
            Reply::HasAsserted { overtaken: overtaken? }
        }
        EngineCall::Gate { .. } | EngineCall::Barrier { .. } => {
            let commit = count(said.next()?)?;
            let are_telling = matches!(call, EngineCall::Gate { .. }) && count(said.next()?)? > 0;
            let members = pairs(Value::Array(said.collect()))?.into_iter();
            let member = |(node, line): (Bytes, Bytes)| {
                Some((Node::from(std::str::from_utf8(&node).ok()?), std::str::from_utf8(&line).ok()?.parse().ok()?))
            };
            let members: BTreeMap<Node, u32> = members.map(member).collect::<Option<_>>()?;
            match call {
                EngineCall::Gate { .. } => Reply::Gate { commit, members, are_telling },
                _ => Reply::Barrier { commit, members },
            }
        }
        EngineCall::Commit { .. } => {
            let (verdict, version, commit) = (text(said.next()?)?, bytes(said.next()?)?, count(said.next()?)?);
            let verdict = match &*verdict {
                "d" => Decision::Done(packed::read_version(&version)?),
                "u" => Decision::Unexpected,
                "n" => Decision::NoRoom,
                _ => Decision::Absent,
            };
            Reply::Committed { verdict, commit }
        }
        EngineCall::Renew { .. } | EngineCall::Settle { .. } | EngineCall::Fill { .. } => {
            Reply::Renewed { commit: count(said.next()?)? }
        }
        EngineCall::Claim { .. } => {
            let commit = count(said.next()?)?;
            let mut claims = Vec::new();
            while let Some(of) = said.next() {
                let (name, packed) = (name(&bytes(of)?)?, bytes(said.next()?)?);
                claims.push(BucketClaim { name, indexed: packed::read_indexed(&packed)?, number: count(said.next()?)? });
            }
            Reply::Claimed { commit, claims }
        }
        EngineCall::Evict { .. } => {
            let commit = count(said.next()?)?;
            let names: Option<_> = said.map(|said| name(&bytes(said)?)).collect();
            Reply::Evicted { commit, names: names? }
        }
        EngineCall::Follow { .. } | EngineCall::Scan | EngineCall::Body { .. } => return None,
    };
    Some((time, reply))
}

/// Steps of the journal.
pub(super) fn steps(value: Value) -> Option<Vec<Journaled>> {
    array(value)?.into_iter().map(step).collect()
}

fn step(value: Value) -> Option<Journaled> {
    let fields: BTreeMap<Bytes, Bytes> = pairs(array(value)?.pop()?)?.into_iter().collect();
    let field = |name: &str| fields.get(name.as_bytes());
    let at = packed::read_version(field("v")?)?;
    let news = match (field("n"), field("i")) {
        (None, _) => JournalNews::Term,
        (Some(of), Some(indexed)) => JournalNews::Object {
            name: name(of)?,
            indexed: packed::read_indexed(indexed)?,
            upload: field("u").and_then(|upload| packed::read_upload(upload)),
            body: field("b").cloned(),
        },
        (Some(of), None) if field("k").is_some() => {
            let [form] = **field("f")? else { return None };
            let (is_kept, is_bare) = (form >= 4, form % 4 == 2);
            JournalNews::Moved { name: name(of)?, version: packed::read_version(field("k")?)?, is_kept, is_bare }
        }
        (Some(of), None) => JournalNews::Renewed {
            name: name(of)?,
            version: packed::read_version(field("r")?)?,
            expires: u64::from_be_bytes(field("e")?.as_ref().try_into().ok()?),
        },
    };
    Some(Journaled { at, news })
}

/// The index, and what uploads became.
pub(super) fn index(told: Option<Value>) -> Option<Reply> {
    let mut told = array(told?)?.into_iter();
    let newest: Vec<u64> = array(told.next()?)?.into_iter().map(|value| count(value).unwrap_or(0)).collect();
    let [number, line, commit] = *newest else { return None };
    let term = Term { number: u32::try_from(number).ok()?, line: u32::try_from(line).ok()? };
    let index = pairs(told.next()?)?.into_iter().map(|(of, packed)| Some((name(&of)?, packed::read_indexed(&packed)?)));
    let index: Option<Vec<_>> = index.collect();
    let mut uploads = Vec::new();
    for (upload, became) in pairs(told.next()?)? {
        if became.first() == Some(&b'd') && became.len() > 17 {
            let version = packed::read_version(&became[1..17])?;
            uploads.push((packed::read_upload(&upload)?, name(&became.slice(17..))?, version));
        }
    }
    Some(Reply::Index { at: Version { term, commit }, index: index?, uploads })
}
