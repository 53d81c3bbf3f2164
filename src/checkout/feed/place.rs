//! Places in the feed.

use std::fmt;
use std::str::FromStr;

/// A place in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPlace {
    /// What its position belongs to.
    pub epoch: i64,
    /// The position of the last event that was read; 0: none.
    pub position: i64,
}

impl fmt::Display for FeedPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.epoch, self.position)
    }
}

impl FromStr for FeedPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, position) = text.split_once('.').ok_or(())?;
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0).ok_or(());
        Ok(Self { epoch: number(epoch)?, position: number(position)? })
    }
}
