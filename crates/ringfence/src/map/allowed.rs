//! What port sets read like, found once for each: millions of connections share a few.

use std::collections::HashMap;
use std::rc::Rc;

use ringfence_policy::PortSet;

/// The texts of port sets.
#[derive(Debug)]
pub(super) struct Allowed<F> {
    describe: F,
    texts: Vec<String>,
    /// The connections of a listing share their sets.
    places: HashMap<*const PortSet, usize>,
    last: Option<(*const PortSet, usize)>,
}

impl<F: Fn(&PortSet) -> String> Allowed<F> {
    pub(super) fn new(describe: F) -> Allowed<F> {
        Allowed { describe, texts: Vec::new(), places: HashMap::new(), last: None }
    }

    /// The text of a set. All sets must be of one listing that goes on.
    pub(super) fn text(&mut self, set: &Rc<PortSet>) -> &str {
        let pointer = Rc::as_ptr(set);
        let place = match self.last {
            Some((known, place)) if known == pointer => place,
            _ => *self.places.entry(pointer).or_insert_with(|| {
                self.texts.push((self.describe)(set));
                self.texts.len() - 1
            }),
        };
        self.last = Some((pointer, place));
        self.texts.get(place).map_or("", |text| text)
    }
}
