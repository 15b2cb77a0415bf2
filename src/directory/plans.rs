//! Runs the plans of a request with many plans: together in one commit, or as a dry run.

use super::audit::Caller;
use super::{Directory, Error};
use crate::store::{Change, ReadError, View};

impl Directory {
    /// Runs the plans in order, each on the result of the earlier ones, and commits all their
    /// changes together. The results are in the order of the plans. `lost_access` says whether a
    /// person has lost access by a plan.
    pub(super) fn write_all<T, E, P>(
        &self,
        plans: Vec<P>,
        caller: &Caller,
        lost_access: impl Fn(&T) -> bool,
    ) -> Result<Vec<Result<T, E>>, Error>
    where
        T: Send + 'static,
        E: Send + 'static,
        P: FnOnce(&View<'_>) -> Result<Result<(Change, T), E>, ReadError> + Send + 'static,
    {
        let results = self.store.write_all(plans)?;
        let done = results.iter().flatten();
        self.count_lost_access(caller, done.filter(|done| lost_access(done)).count());
        Ok(results)
    }

    /// Runs the plans on the committed state and writes nothing: each sees what the earlier ones
    /// would do to userNames. `plans` makes the plans anew for each attempt at reading.
    pub(super) fn suppose_all<T, E, P, I>(
        &self,
        plans: impl Fn() -> I,
    ) -> Result<Vec<Result<T, E>>, Error>
    where
        I: Iterator<Item = P>,
        P: FnOnce(&View<'_>) -> Result<Result<(Change, T), E>, ReadError>,
    {
        self.read(|snapshot| {
            let mut view = View::of_committed(&snapshot);
            let results = plans().map(|plan| {
                let planned = plan(&view)?;
                Ok(planned.map(|(change, done)| {
                    view.suppose(&change);
                    done
                }))
            });
            results.collect()
        })
    }
}
