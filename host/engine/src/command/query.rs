//! States, now and then, by this module or another.

use gavel_model::{ModuleDigest, StreamId, Version};

use super::session::{Guests, Session};
use super::{Commands, Error, StateAnswer, StateAt};

impl Commands {
    /// Reads the state of a stream at a moment, folded by the active module or by `module`.
    ///
    /// # Errors
    ///
    /// `StreamNotFound` when the stream had no event at that moment, or has not reached that
    /// version yet; otherwise `DeciderNotFound`, `Module`, `Fault` and `Store`.
    pub async fn state(
        &self,
        stream: &StreamId,
        moment: StateAt,
        module: Option<ModuleDigest>,
    ) -> Result<StateAnswer, Error> {
        let decider = match module {
            Some(digest) => self
                .0
                .modules
                .decider(digest)
                .await
                .map_err(Error::Module)?,
            None => {
                let active = self
                    .0
                    .modules
                    .active(stream.namespace(), stream.decider())
                    .await
                    .map_err(Error::Module)?;
                let active = active.ok_or_else(|| Error::DeciderNotFound {
                    decider: stream.decider().clone(),
                })?;
                active.decider.clone()
            }
        };
        let store = &*self.0.store;
        let through = match moment {
            StateAt::Newest => None,
            StateAt::Version(version) => Some(version),
            StateAt::Time(at) => Some(store.version_at(stream, at).await.map_err(Error::Store)?),
        };
        let module = decider.digest();
        let mut guests = Guests::for_reader(&self.0.modules, decider);
        let session = Session::load(&mut guests, store, stream, through).await?;
        let head = session.head();
        if head.version == Version::EMPTY || through.is_some_and(|wanted| wanted != head.version) {
            let current = store.head(stream).await.map_err(Error::Store)?.version;
            return Err(Error::StreamNotFound {
                stream: stream.clone(),
                current,
            });
        }
        let (_, state) = session.state(&mut guests).await?;
        Ok(StateAnswer {
            stream: stream.clone(),
            version: head.version,
            is_final: head.is_final,
            state,
            module,
        })
    }
}
