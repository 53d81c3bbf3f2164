//! Finds the rows of a set that cannot be changed: a set that fails is halved until each such row stands alone.

use futures_util::future::BoxFuture;

use crate::db::Error;

/// How many sets are tried at most: enough to find a few rows among thousands.
const TRIES: u32 = 64;

/// The rows of a set that were not changed.
#[derive(Debug, Default)]
pub(crate) struct Rest<T> {
    /// Rows that cannot be changed, and why.
    pub(crate) bad: Vec<(T, String)>,
    /// Rows that were not tried, because the limit was reached.
    pub(crate) untried: Vec<T>,
}

/// Does `work` for all of `rows`, or for as many of them as possible. A set for which it fails with [`Error::Unfit`] is halved.
///
/// # Errors
/// Every other error of `work`, at once; sets that were changed before stay changed.
pub(crate) async fn in_halves<'rows, T: Clone + Sync>(
    rows: &'rows [T],
    work: impl Fn(&'rows [T]) -> BoxFuture<'rows, Result<(), Error>>,
) -> Result<Rest<T>, Error> {
    let mut rest = Rest { bad: Vec::new(), untried: Vec::new() };
    let mut sets = vec![rows];
    let mut tries = 0;
    while let Some(set) = sets.pop() {
        if set.is_empty() {
            continue;
        }
        if tries == TRIES {
            rest.untried.extend_from_slice(set);
            continue;
        }
        tries += 1;
        match work(set).await {
            Err(Error::Unfit(why)) => match set {
                [row] => rest.bad.push((row.clone(), why)),
                _ => {
                    let (first, second) = set.split_at(set.len() / 2);
                    sets.extend([second, first]);
                }
            },
            done => done?,
        }
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt as _;

    use super::*;

    /// Changes all rows but those in `bad`; returns the changed rows, the rest, and the number of tries.
    async fn run(rows: &[u32], bad: &[u32]) -> (Vec<u32>, Rest<u32>, usize) {
        let (done, tries) = (Mutex::new(Vec::new()), Mutex::new(0));
        let rest = in_halves(rows, |set| {
            *tries.lock().expect("no panic") += 1;
            let worst = set.iter().find(|row| bad.contains(row));
            let result = match worst {
                Some(row) => Err(Error::Unfit(row.to_string())),
                None => {
                    done.lock().expect("no panic").extend_from_slice(set);
                    Ok(())
                }
            };
            async move { result }.boxed()
        });
        let rest = rest.await.expect("no other error");
        (done.into_inner().expect("no panic"), rest, tries.into_inner().expect("no panic"))
    }

    #[tokio::test]
    async fn one_bad_row_among_thousands_is_found_after_a_few_tries() {
        let rows: Vec<u32> = (0..2000).collect();
        for bad in [0, 1, 999, 1000, 1999] {
            let (done, rest, tries) = run(&rows, &[bad]).await;
            assert_eq!(done, rows.iter().copied().filter(|&row| row != bad).collect::<Vec<_>>());
            assert_eq!((rest.bad, rest.untried), (vec![(bad, bad.to_string())], vec![]));
            assert!(tries <= 24, "{tries}");
        }
    }

    #[tokio::test]
    async fn rows_that_were_not_tried_are_reported_apart_from_bad_ones() {
        let rows: Vec<u32> = (0..2000).collect();
        let (done, rest, tries) = run(&rows, &rows).await;
        assert_eq!((done.len(), tries), (0, 64));
        assert!(!rest.bad.is_empty());
        assert_eq!(rest.bad.len() + rest.untried.len(), 2000);
    }

    #[tokio::test]
    async fn an_empty_set_needs_no_try() {
        let (done, rest, tries) = run(&[], &[]).await;
        assert_eq!((done.len(), rest.bad.len(), rest.untried.len(), tries), (0, 0, 0, 0));
    }
}
