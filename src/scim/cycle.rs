//! Finds cycles of things that need each other, so that none of them can be done before the others.
//! Things are plain numbers here; `bulk` knows which operations they stand for.

use std::collections::BTreeSet;

/// Groups the things that need each other in a cycle, directly or through others; every other
/// thing is a group of its own. `needs` lists the numbers of what each thing needs. The recursion
/// is as deep as the longest chain of needs.
pub(super) fn cycles(needs: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let mut search = Search {
        needs,
        earliest: vec![UNSEEN; needs.len()],
        seen: 0,
        open: Vec::new(),
        cycles: Vec::new(),
    };
    for thing in 0..needs.len() {
        if search.earliest[thing] == UNSEEN {
            search.visit(thing);
        }
    }
    search.cycles
}

/// Marks a thing that has not been visited.
const UNSEEN: usize = 0;
/// Marks a thing whose cycle is complete.
const CLOSED: usize = usize::MAX;

/// Tarjan's search for strongly connected components.
struct Search<'a> {
    needs: &'a [BTreeSet<usize>],
    /// For each thing, the visit number of the earliest open thing that it is known to reach.
    earliest: Vec<usize>,
    seen: usize,
    /// Visited things that are not assigned to a cycle yet.
    open: Vec<usize>,
    cycles: Vec<Vec<usize>>,
}

impl Search<'_> {
    fn visit(&mut self, thing: usize) {
        self.seen += 1;
        let seen = self.seen;
        self.earliest[thing] = seen;
        let place = self.open.len();
        self.open.push(thing);
        for &need in &self.needs[thing] {
            if self.earliest[need] == UNSEEN {
                self.visit(need);
            }
            self.earliest[thing] = self.earliest[thing].min(self.earliest[need]);
        }
        if self.earliest[thing] == seen {
            let cycle = self.open.split_off(place);
            for &one in &cycle {
                self.earliest[one] = CLOSED;
            }
            self.cycles.push(cycle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn the_longest_chain_and_cycle_fit_on_the_stack_of_a_worker() {
        const MOST: usize = limits::BULK_OPERATIONS_MAX;
        let next = |last: Option<usize>| -> Vec<BTreeSet<usize>> {
            let needs = (1..MOST).map(Some).chain([last]);
            needs.map(|need| need.into_iter().collect()).collect()
        };
        let worker = std::thread::Builder::new().stack_size(limits::WORKER_STACK_BYTES);
        let work = move || [next(None), next(Some(0))].map(|needs| cycles(&needs).len());
        let found = worker.spawn(work).expect("a thread").join();
        assert_eq!(found.expect("no overflow"), [MOST, 1]);
    }

    #[test]
    fn what_leads_back_to_itself_is_in_a_cycle() {
        let none: &[usize] = &[];
        for (needs, wanted) in [
            (vec![none, none], vec![vec![0], vec![1]]),
            (vec![&[1], none, &[2]], vec![vec![0], vec![1], vec![2]]),
            (vec![&[1], &[2], &[0]], vec![vec![0, 1, 2]]),
            // One thing that needs a cycle, and one that a cycle needs.
            (
                vec![&[1], &[2], &[1, 3], none],
                vec![vec![0], vec![1, 2], vec![3]],
            ),
            // Two cycles that share a thing are one; two where one only needs the other stay two.
            (vec![&[1, 2], &[0], &[0]], vec![vec![0, 1, 2]]),
            (
                vec![&[1], &[0, 2], &[3], &[2]],
                vec![vec![0, 1], vec![2, 3]],
            ),
        ] {
            let needs: Vec<BTreeSet<usize>> = needs
                .into_iter()
                .map(|needs| needs.iter().copied().collect())
                .collect();
            let mut found = cycles(&needs);
            for cycle in &mut found {
                cycle.sort_unstable();
            }
            found.sort_unstable();
            assert_eq!(found, wanted, "{needs:?}");
        }
    }
}
