//! Routes that come and go at run time.

use std::sync::Arc;

use qw_store::StateChange;

use super::{ROUTES, RouteError, Routes, check, end, launch, no_route, prepare};
use crate::{
    routes::{
        config::{ConfigError, MAX_ROUTES, RouteConfig},
        dead_letters::{self, DEAD_LETTERS},
        positions::POSITIONS,
    },
    runner::blocking,
};

impl Routes {
    /// Adds a route, or replaces the one of its name, at once and for the time after a restart. A route of
    /// the configuration of that name comes back with a restart.
    ///
    /// # Errors
    /// What is wrong with it; everything is as it was then.
    pub async fn put(&self, config: RouteConfig) -> Result<(), RouteError> {
        let shared = &self.0;
        let _alone = shared.changing.lock().await;
        let is_known = shared.find(&config.name).is_some();
        if !is_known && shared.routes.read().len() >= MAX_ROUTES {
            let count = MAX_ROUTES + 1;
            return Err(ConfigError::TooMany { count }.into());
        }
        check(&config)?;
        let text = serde_json::to_string(&config).map_err(|error| {
            RouteError::from(config.wrong("route", format!("cannot be stored: {error}")))
        })?;
        let (state, name) = (Arc::clone(&shared.state), config.name.clone());
        blocking(move || {
            state.apply(&[StateChange::Put {
                collection: ROUTES,
                key: &name,
                value: &text,
            }])
        })
        .await?;
        if let Some(old) = shared.find(&config.name) {
            end(&old).await;
        }
        let own = Arc::clone(shared);
        let prepared = blocking(move || prepare(&own, config)).await?;
        launch(shared, prepared);
        Ok(())
    }

    /// Ends a route and forgets it, with its position and dead letters. A route of the configuration comes
    /// back with a restart.
    ///
    /// # Errors
    /// When there is no such route, or the store cannot be written; it has ended then.
    pub async fn remove(&self, name: &str) -> Result<(), RouteError> {
        let shared = &self.0;
        let _alone = shared.changing.lock().await;
        let route = shared.find(name).ok_or_else(|| no_route(name))?;
        end(&route).await;
        shared
            .routes
            .write()
            .retain(|other| other.config.name != route.config.name);
        let (state, name) = (Arc::clone(&shared.state), route.config.name.clone());
        blocking(move || {
            let letters = dead_letters::list(&*state, &name)?;
            let keys: Vec<String> = letters
                .iter()
                .map(|letter| dead_letters::key(&name, letter.id))
                .collect();
            let own = [ROUTES, POSITIONS].map(|collection| StateChange::Delete {
                collection,
                key: &name,
            });
            let letters = keys.iter().map(|key| StateChange::Delete {
                collection: DEAD_LETTERS,
                key,
            });
            let changes: Vec<StateChange<'_>> = own.into_iter().chain(letters).collect();
            state.apply(&changes)
        })
        .await?;
        Ok(())
    }
}
