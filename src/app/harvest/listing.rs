//! What the source has in a window: the texts of its playlists, and which of them were not to be had.

use std::collections::HashSet;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;

use super::recording::{self, UnreadMedia};
use super::room::{self, ListRoom};
use super::source::Failed;
use super::whereabouts::{is_same_host, names};
use super::{Harvest, NAMED};
use crate::app::client::Url;
use crate::hls::playlist::{self, Playlist, Surroundings, Variables, substituted};
use crate::hls::renditions::{Choice, choose};

/// How often a playlist that is about to have its end is asked for, and how long at least and at most: it is twice its target duration.
const ASKED_AGAIN: Duration = Duration::from_millis(500);
const LEAST_PATIENCE: Duration = Duration::from_secs(4);
const MOST_PATIENCE: Duration = Duration::from_secs(30);

/// What there is in the window.
#[derive(Debug)]
pub(super) struct WindowListing {
    /// The playlist's URL, asked for the window.
    pub(super) entry: Url,
    /// The multivariant playlist, where it is one.
    pub(super) master: Option<String>,
    pub(super) media: Vec<ListedMedia>,
    /// Those that it names beside them.
    pub(super) unread: Vec<UnreadMedia>,
    /// The first of those that it names no more, as nothing of them is in the window.
    pub(super) left_out: Vec<String>,
}

/// A media playlist as it was read.
#[derive(Debug)]
pub(super) struct ListedMedia {
    /// What a plan calls it.
    pub(super) from: String,
    pub(super) url: Url,
    pub(super) folder: String,
    pub(super) text: String,
}

/// What came of a look.
enum WindowLook {
    There(WindowListing),
    /// Nothing is there; why.
    Nothing(String),
    /// There is so much that it has to wait.
    TooMuch,
}

/// A playlist, and what is to be known of it before it is planned.
struct ReadPlaylist {
    text: String,
    is_multivariant: bool,
    /// What is no media playlist has no end to wait for.
    has_end: bool,
    /// How much of the room it takes.
    takes: usize,
}

impl ReadPlaylist {
    /// With variables as far as they are known from where it was named.
    fn new(bytes: &[u8], imports: Option<&Variables>, query: Option<&str>) -> Result<Self, Failed> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.starts_with("#EXTM3U"));
        let text = text.ok_or_else(|| Failed::Foreign("is no HLS playlist".to_owned()))?;
        let text = substituted(text, Surroundings { imports, query }).into_owned();
        let (is_multivariant, has_end) = match playlist::parse(text.as_bytes()) {
            Ok(Playlist::Media(media)) => (false, media.ended),
            Ok(Playlist::Multivariant(_)) => (true, true),
            Err(_) => (false, true),
        };
        let takes = room::takes(&text);
        Ok(Self { text, is_multivariant, has_end, takes })
    }
}

impl Harvest {
    /// What the source has in the window, and where. Or, within, why that is nothing. Waits until there is room for it.
    pub(super) async fn listed(
        &self,
        playlist: &Url,
        window: &str,
        room: &mut ListRoom<'_>,
    ) -> anyhow::Result<Result<WindowListing, String>> {
        loop {
            let look = self.look(playlist, window, room).await?;
            match look {
                WindowLook::There(listing) => return Ok(Ok(listing)),
                WindowLook::Nothing(why) => return Ok(Err(why)),
                // Nothing of it is held by now.
                WindowLook::TooMuch => room.wait().await,
            }
        }
    }

    async fn look(&self, playlist: &Url, window: &str, room: &ListRoom<'_>) -> anyhow::Result<WindowLook> {
        let mut entry = playlist.clone();
        // It is asked for once: what came too late for those who watched belongs into a recording.
        entry.set_query(Some(&format!("{window}&late=1")));
        let read = match self.read(&entry, None).await {
            Ok(read) => read,
            Err(Failed::Missing(why)) => return Ok(WindowLook::Nothing(format!("{}: {why}", self.source.name(&entry)))),
            Err(failed) => bail!("{}: {failed}", self.source.name(&entry)),
        };
        let mut listing = WindowListing { entry, master: None, media: Vec::new(), unread: Vec::new(), left_out: Vec::new() };
        let entry = &listing.entry;
        if !read.is_multivariant {
            let read = self.ended(read, entry, None).await?;
            if !room.has(read.takes)? {
                return Ok(WindowLook::TooMuch);
            }
            let from = names(slice::from_ref(entry), entry).concat();
            listing.media.push(ListedMedia { from, url: entry.clone(), folder: String::new(), text: read.text });
            return Ok(WindowLook::There(listing));
        }
        let ReadPlaylist { text, mut takes, .. } = read;
        let variables = Arc::new(Variables::of(&text, Surroundings::default()));
        listing.left_out = self.left_out(playlist, &text, entry).await;
        let urls = recording::children(&text, entry);
        let called = names(&urls, entry);
        for (number, (url, from)) in urls.into_iter().zip(called).enumerate() {
            // What another host has may be all there is of it: a second network's copy of what is here is no loss.
            let (folder, is_elsewhere) = (number.to_string(), !is_same_host(&url, entry));
            let (why, is_passing) = match self.read(&url, Some(&variables)).await {
                Ok(read) if is_elsewhere && !read.has_end => ("that host cuts no window".to_owned(), true),
                Ok(read) => {
                    let read = self.ended(read, &url, Some(&variables)).await?;
                    takes += read.takes;
                    if !room.has(takes)? {
                        return Ok(WindowLook::TooMuch);
                    }
                    listing.media.push(ListedMedia { from, url, folder, text: read.text });
                    continue;
                }
                // What was named then and never came, or has nothing in the window, is no loss to what is there.
                Err(Failed::Missing(why)) => (why, false),
                Err(Failed::Broken(why)) if !is_elsewhere => bail!("{}: {why}", self.source.name(&url)),
                Err(failed) => (failed.to_string(), true),
            };
            let why = format!("{}: {why}", self.source.name(&url));
            listing.unread.push(UnreadMedia { from, url, folder, why, is_passing });
        }
        if !listing.has_something_to_play(&text) {
            let named = listing.left_out.iter().chain(listing.unread.iter().map(|media| &media.why));
            let named = named.take(NAMED).map(|name| format!("\n  {name}")).collect::<String>();
            let why = format!("there is nothing to play in this window: of no variant is anything there{named}");
            // What can't be read may have all of it.
            if listing.unread.iter().any(|media| media.is_passing) {
                bail!(why);
            }
            return Ok(WindowLook::Nothing(why));
        }
        listing.master = Some(text);
        Ok(WindowLook::There(listing))
    }

    /// What the server has left out of the multivariant playlist of the window, and names in that of now.
    async fn left_out(&self, playlist: &Url, text: &str, entry: &Url) -> Vec<String> {
        // Where that is not there, what the window has is all there is.
        let Ok(now) = self.source.newest(playlist).await else { return Vec::new() };
        let now = substituted(&now, Surroundings::default());
        let bare = |mut url: Url| {
            let words = url.query().unwrap_or_default().split('&');
            let is_window = |word: &&str| ["start=", "end=", "late="].iter().any(|name| word.starts_with(name));
            let query = words.filter(|word| !word.is_empty() && !is_window(word)).collect::<Vec<_>>().join("&");
            url.set_query(Some(&*query).filter(|query| !query.is_empty()));
            url
        };
        let of_window: HashSet<Url> = recording::children(text, entry).into_iter().map(bare).collect();
        let left_out = recording::children(&now, playlist).into_iter().map(bare).filter(|url| !of_window.contains(url));
        left_out.take(NAMED).map(|url| format!("{}: nothing of it is in the window", self.source.name(&url))).collect()
    }

    /// A media playlist with its end: one whose end is about to be listed is asked for again, for a window that ends now has its end when what
    /// reaches it is there.
    async fn ended(&self, mut read: ReadPlaylist, url: &Url, imports: Option<&Arc<Variables>>) -> anyhow::Result<ReadPlaylist> {
        let target = playlist::target_duration(read.text.as_bytes()).unwrap_or_default();
        let mut patience = (target * 2).clamp(LEAST_PATIENCE, MOST_PATIENCE);
        while !read.has_end && !patience.is_zero() {
            tokio::time::sleep(ASKED_AGAIN).await;
            patience = patience.saturating_sub(ASKED_AGAIN);
            let again = self.read(url, imports).await;
            read = again.map_err(|failed| anyhow::anyhow!("{}: {failed}", self.source.name(url)))?;
        }
        Ok(read)
    }

    /// Reads a playlist, and takes it apart beside the runtime.
    async fn read(&self, url: &Url, imports: Option<&Arc<Variables>>) -> Result<ReadPlaylist, Failed> {
        let bytes: Bytes = self.source.playlist(url).await?;
        let (imports, query) = (imports.cloned(), url.query().map(str::to_owned));
        let read = move || ReadPlaylist::new(&bytes, imports.as_deref(), query.as_deref());
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|_| Err(Failed::Broken("the process ends".to_owned())))
    }
}

impl WindowListing {
    /// Whether any variant of this multivariant playlist was read.
    fn has_something_to_play(&self, text: &str) -> bool {
        let there: HashSet<&Url> = self.media.iter().map(|media| &media.url).collect();
        let is_there = |uri: &str| self.entry.join(uri).is_ok_and(|url| there.contains(&url));
        let choice = |uri: &str| if is_there(uri) { Choice::Named(uri.to_owned()) } else { Choice::LeftOut };
        choose(text, choice).is_some()
    }
}
