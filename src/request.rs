//! One API call on its way: what is called, on which files, which steps of which rows it settles,
//! and whether it may be repeated.
//!
//! Whether a request may be repeated is decided in one place, [`Request::new`], and carried by its
//! type from there on: a [`Idempotent`] can be sent again and again; a [`AtMostOnce`] is given away to be sent
//! and comes back only where it is certain that nothing was done. What is left of a `AtMostOnce` whose
//! answer was lost is a [`LostResponse`]: the steps, and the part of the body that may be sent again.

use crate::row::{
    AiTagRemoval, Coordinates, Extension, ExtensionFingerprint, Extensions, FileId, MetadataField,
    MetadataValue, Publish, Set, Tags, WebhookUrl,
};

/// What one row needs of one request. The steps of a row are carried out in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepKind {
    /// The details of the file: one PATCH.
    Details = 0,
    /// The repeatable part of a details step whose answer was lost.
    DetailsWithoutExtensions = 1,
    /// Tags taken away by one of several calls, behind which another follows.
    RemoveTagsPart = 2,
    /// Tags taken away. Before adding, so that the sum stays within ImageKit's limit.
    RemoveTags = 3,
    /// Tags added by one of several calls, behind which another follows.
    AddTagsPart = 4,
    /// Tags added.
    AddTags = 5,
    /// The publication status: a PATCH of its own, because the API takes it with nothing else.
    Publish = 6,
    /// The file is looked at once more at the end of the run, because the answer to an earlier
    /// request on it was lost. Asked by no row: it falls to the last one that changed the file.
    ReadBack = 7,
}

impl StepKind {
    /// Every kind, in order.
    pub const ALL: [Self; 8] = [
        Self::Details,
        Self::DetailsWithoutExtensions,
        Self::RemoveTagsPart,
        Self::RemoveTags,
        Self::AddTagsPart,
        Self::AddTags,
        Self::Publish,
        Self::ReadBack,
    ];

    /// How people call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Details => "details",
            Self::DetailsWithoutExtensions => "details without extensions",
            Self::RemoveTagsPart => "remove some tags",
            Self::RemoveTags => "remove tags",
            Self::AddTagsPart => "add some tags",
            Self::AddTags => "add tags",
            Self::Publish => "publish",
            Self::ReadBack => "read back",
        }
    }

    /// Whether it is about the tags, by calls of their own.
    #[must_use]
    pub fn is_tags(self) -> bool {
        matches!(self, Self::RemoveTagsPart | Self::RemoveTags | Self::AddTagsPart | Self::AddTags)
    }

    /// The step of which it is a part: done, it is none of the steps that a row is made of; without
    /// success it ends that step.
    #[must_use]
    pub fn part_of(self) -> Option<Self> {
        match self {
            Self::RemoveTagsPart => Some(Self::RemoveTags),
            Self::AddTagsPart => Some(Self::AddTags),
            _ => None,
        }
    }

    /// The part of it that one of several calls does.
    #[must_use]
    pub fn part(self) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.part_of() == Some(self))
    }

    /// Where its requests go.
    #[must_use]
    pub fn endpoint(self) -> Endpoint {
        match self {
            Self::Details | Self::DetailsWithoutExtensions | Self::Publish => Endpoint::Patch,
            Self::RemoveTagsPart | Self::RemoveTags => Endpoint::RemoveTags,
            Self::AddTagsPart | Self::AddTags => Endpoint::AddTags,
            Self::ReadBack => Endpoint::GetDetails,
        }
    }
}

/// One step of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepRef {
    /// The row's number.
    pub row: u64,
    /// Which of its steps.
    pub kind: StepKind,
}

/// What is called, with what.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// `PATCH /v1/files/{fileId}/details`, the branch with the fields.
    Details(Box<Patch>),
    /// `PATCH /v1/files/{fileId}/details`, the branch with `publish`.
    Publish(Publish),
    /// `POST /v1/files/addTags`.
    AddTags(Tags),
    /// `POST /v1/files/removeTags`.
    RemoveTags(Tags),
    /// `GET /v1/files/{fileId}/details`, to compare what comes back.
    ReadBack(Box<Expected>),
}

/// The fields of a details PATCH. `None` leaves a field alone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Patch {
    /// Replaces all tags.
    pub tags: Option<Set<Tags>>,
    /// AI tags to remove, before any extension runs.
    pub remove_ai_tags: Option<AiTagRemoval>,
    /// The important area.
    pub coordinates: Option<Set<Coordinates>>,
    /// The description.
    pub description: Option<Set<Box<str>>>,
    /// Custom metadata, merged by key.
    pub metadata: Vec<(MetadataField, Set<MetadataValue>)>,
    /// Extensions to run.
    pub extensions: Option<Extensions>,
    /// Where their final status goes.
    pub webhook_url: Option<WebhookUrl>,
}

impl Patch {
    /// Whether it would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_none()
            && self.remove_ai_tags.is_none()
            && self.coordinates.is_none()
            && self.description.is_none()
            && self.metadata.is_empty()
            && self.extensions.is_none()
    }

    /// Whether something of it may be sent again after its answer was lost.
    #[must_use]
    pub fn has_idempotent_part(&self) -> bool {
        self.extensions.is_some() && !self.clone().idempotent_part().is_empty()
    }

    /// What may be sent again although it is not known whether this patch was carried out: no
    /// extension, and no field that an extension of it may have written in the meantime, since a
    /// second writing would destroy what was paid for.
    fn idempotent_part(self) -> Self {
        let Some(extensions) = self.extensions else {
            return self;
        };
        Self {
            tags: self.tags.filter(|_| !extensions.may_write_tags()),
            remove_ai_tags: self.remove_ai_tags.filter(|_| !extensions.may_write_ai_tags()),
            coordinates: self.coordinates,
            description: self.description.filter(|_| !extensions.may_write_description()),
            metadata: if extensions.may_write_metadata() { Vec::new() } else { self.metadata },
            extensions: None,
            webhook_url: None,
        }
    }
}

/// What a file must be like after all that was accepted for it. What is left out may be anything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expected {
    /// The fields as they were last set, tags aside.
    pub fields: Patch,
    /// All of its tags, in any order.
    pub tags: Option<Vec<String>>,
    /// Tags that it must have, where not all of its tags are known.
    pub tags_added: Vec<String>,
    /// Tags that it must not have, where not all of its tags are known.
    pub tags_removed: Vec<String>,
    /// Its publication status.
    pub publish: Option<Publish>,
    /// The row whose request got no answer, so that it may have taken effect later than the
    /// others.
    pub doubt: u64,
}

/// The addresses that ImageKit limits one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// PATCH of a file's details, publishing included.
    Patch = 0,
    /// Adding tags in bulk.
    AddTags = 1,
    /// Removing tags in bulk.
    RemoveTags = 2,
    /// Reading a file's details.
    GetDetails = 3,
    /// Listing files; also the probe that asks whether the service is back.
    List = 4,
    /// Reading the account's custom metadata fields.
    MetadataFields = 5,
}

impl Endpoint {
    /// Every endpoint, in the order of its number.
    pub const ALL: [Self; 6] = [
        Self::Patch,
        Self::AddTags,
        Self::RemoveTags,
        Self::GetDetails,
        Self::List,
        Self::MetadataFields,
    ];

    /// Which of the account's budgets it draws on.
    #[must_use]
    pub fn budget(self) -> BudgetKind {
        match self {
            Self::Patch | Self::AddTags | Self::RemoveTags => BudgetKind::Writes,
            Self::GetDetails | Self::List | Self::MetadataFields => BudgetKind::Reads,
        }
    }

    /// How logs and progress call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patch => "PATCH details",
            Self::AddTags => "POST addTags",
            Self::RemoveTags => "POST removeTags",
            Self::GetDetails => "GET details",
            Self::List => "GET files",
            Self::MetadataFields => "GET customMetadataFields",
        }
    }
}

/// ImageKit counts writes and reads apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BudgetKind {
    /// Everything that changes a file.
    Writes = 0,
    /// Everything else.
    Reads = 1,
}

/// The most files that a bulk call may name, as ImageKit's API description states.
pub const BULK_FILES_MAX: usize = 50;

/// A request that has not been sent.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// It may be repeated.
    Idempotent(Idempotent),
    /// It must not be repeated.
    AtMostOnce(AtMostOnce),
}

/// A request that has the same effect however often it is carried out.
#[derive(Debug, PartialEq)]
pub struct Idempotent(Contents);

/// A request of which every execution counts: extensions are billed each time, unpublishing
/// purges caches. Not `Clone`: there is one, and whoever sends it gives it away.
#[derive(Debug, PartialEq)]
pub struct AtMostOnce(Contents);

#[derive(Debug, PartialEq)]
struct Contents {
    call: Call,
    /// The file of each step, so that one with several steps is there several times.
    files: Box<[FileId]>,
    steps: Box<[StepRef]>,
    /// The same, row by row; empty where it is of one row.
    fallback: Box<[Idempotent]>,
}

/// What is left of a [`AtMostOnce`] whose answer was lost.
#[derive(Debug, PartialEq)]
pub struct LostResponse {
    /// Steps of which nobody knows what became of them.
    pub steps: Box<[StepRef]>,
    /// The file of each.
    pub files: Box<[FileId]>,
    /// The part of the same body that may be sent again, settling [`StepKind::DetailsWithoutExtensions`].
    pub remainder: Option<Idempotent>,
}

impl Request {
    /// The one place that decides whether a request may be repeated. `files` holds the file of
    /// each step.
    #[must_use]
    pub fn new(call: Call, files: Box<[FileId]>, steps: Box<[StepRef]>) -> Self {
        let idempotent_part = match &call {
            Call::Details(patch) => patch.extensions.is_none(),
            Call::Publish(_) => false,
            Call::AddTags(_) | Call::RemoveTags(_) | Call::ReadBack(_) => true,
        };
        let parts = Contents { call, files, steps, fallback: Box::default() };
        if idempotent_part {
            Self::Idempotent(Idempotent(parts))
        } else {
            Self::AtMostOnce(AtMostOnce(parts))
        }
    }

    fn parts(&self) -> &Contents {
        match self {
            Self::Idempotent(Idempotent(parts)) | Self::AtMostOnce(AtMostOnce(parts)) => parts,
        }
    }

    /// What is called.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.parts().call
    }

    /// The file of each of its steps; one with several steps is there several times.
    #[must_use]
    pub fn files(&self) -> &[FileId] {
        &self.parts().files
    }

    /// The steps that it settles.
    #[must_use]
    pub fn steps(&self) -> &[StepRef] {
        &self.parts().steps
    }

    /// Where it goes.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.call().endpoint()
    }
}

impl Call {
    /// Whether it changes files.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.endpoint().budget() == BudgetKind::Writes
    }

    /// Where it goes.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Self::Details(_) | Self::Publish(_) => Endpoint::Patch,
            Self::AddTags(_) => Endpoint::AddTags,
            Self::RemoveTags(_) => Endpoint::RemoveTags,
            Self::ReadBack(_) => Endpoint::GetDetails,
        }
    }
}

/// What [`Idempotent`] and [`AtMostOnce`] have in common.
pub trait Sendable {
    /// What is called.
    fn call(&self) -> &Call;
    /// The file of each of its steps; one with several steps is there several times.
    fn files(&self) -> &[FileId];
    /// The steps that it settles.
    fn steps(&self) -> &[StepRef];
}

macro_rules! sendable {
    ($($request:ty),*) => {$(
        impl Sendable for $request {
            fn call(&self) -> &Call {
                &self.0.call
            }
            fn files(&self) -> &[FileId] {
                &self.0.files
            }
            fn steps(&self) -> &[StepRef] {
                &self.0.steps
            }
        }
    )*};
}
sendable!(Idempotent, AtMostOnce);

impl Request {
    /// Gives it the requests to be sent in its place, in this order, where it is refused: those of
    /// its rows, one by one.
    pub fn set_fallback(&mut self, rows: Vec<Idempotent>) {
        match self {
            Self::Idempotent(Idempotent(parts)) | Self::AtMostOnce(AtMostOnce(parts)) => {
                parts.fallback = rows.into()
            }
        }
    }
}

impl Idempotent {
    /// The requests of its rows one by one, to be sent in its place where it is refused; none
    /// where it is of one row.
    #[must_use]
    pub fn into_fallback(self) -> Vec<Self> {
        self.0.fallback.into_vec()
    }

    /// Whether it can be sent row by row.
    #[must_use]
    pub fn has_fallback(&self) -> bool {
        !self.0.fallback.is_empty()
    }

    /// What it is made of: what is called, the file of each step, the steps.
    #[must_use]
    pub fn into_parts(self) -> (Call, Box<[FileId]>, Box<[StepRef]>) {
        let Contents { call, files, steps, .. } = self.0;
        (call, files, steps)
    }

    /// The same call for some of its steps; `None` for none of them.
    #[must_use]
    pub fn part(&self, wanted: impl Fn(&FileId, StepRef) -> bool) -> Option<Self> {
        let Contents { call, files, steps, .. } = &self.0;
        let all = files.iter().zip(steps).filter(|(file, step)| wanted(file, **step));
        let (files, steps): (Vec<_>, Vec<_>) =
            all.map(|(file, step)| (file.clone(), *step)).unzip();
        let call = call.clone();
        let (files, steps, fallback) = (files.into(), steps.into_boxed_slice(), Box::default());
        (!steps.is_empty()).then_some(Self(Contents { call, files, steps, fallback }))
    }

    /// The same call for one half of its files, and for the other; `None` for a single file.
    #[must_use]
    pub fn halves(&self) -> Option<[Self; 2]> {
        let mut files: Vec<&FileId> = self.0.files.iter().collect();
        files.sort_unstable();
        files.dedup();
        let first = files.get(files.len() / 2)?;
        Some([self.part(|file, _| file < first)?, self.part(|file, _| file >= first)?])
    }
}

impl AtMostOnce {
    /// The extensions that it runs.
    #[must_use]
    pub fn extensions(&self) -> Vec<ExtensionFingerprint> {
        match &self.0.call {
            Call::Details(patch) => {
                let extensions = patch.extensions.iter().flat_map(Extensions::as_slice);
                extensions.map(Extension::fingerprint).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Gives up on the answer: what was asked may have been done, or not, or not yet.
    #[must_use]
    pub fn lost(self) -> LostResponse {
        let Contents { call, files, steps, .. } = self.0;
        let remainder = match call {
            Call::Details(patch) => Some(patch.idempotent_part()).filter(|patch| !patch.is_empty()),
            _ => None,
        };
        let remainder = remainder.map(|patch| {
            let steps = steps
                .iter()
                .map(|step| StepRef { kind: StepKind::DetailsWithoutExtensions, ..*step });
            let (call, files) = (Call::Details(Box::new(patch)), files.clone());
            Idempotent(Contents { call, files, steps: steps.collect(), fallback: Box::default() })
        });
        LostResponse { steps, files, remainder }
    }
}

impl Request {
    /// The remainder of a details step whose answer was lost in an earlier session, rebuilt from
    /// its row: what [`AtMostOnce::lost`] would have left.
    #[must_use]
    pub fn remainder(self) -> Option<Idempotent> {
        match self {
            Self::Idempotent(_) => None,
            Self::AtMostOnce(once) => once.lost().remainder,
        }
    }
}
