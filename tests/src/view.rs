//! Views: deployed, and read.

use serde_json::{Value, json};

use crate::{Answer, Client, LIMIT, Request, eventually};

/// One view. Cheap to clone.
#[derive(Debug, Clone)]
pub struct View {
    client: Client,
    name: String,
}

impl Client {
    /// One view.
    #[must_use]
    pub fn view(&self, name: &str) -> View {
        View {
            client: self.clone(),
            name: name.to_owned(),
        }
    }
}

impl View {
    /// Uploads a component. Gives its digest.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn upload(&self, component: Vec<u8>) -> String {
        let uploaded = self.client.upload(component).await;
        let module = uploaded.json(uploaded.status());
        let digest = module["digest"].as_str();
        digest.unwrap_or_else(|| panic!("{module}")).to_owned()
    }

    /// Asks for a module to become active, and waits for the end of a rehearsal that builds its
    /// rows first. Gives the activation, or the rehearsal that was refused.
    ///
    /// # Panics
    ///
    /// When the host does not answer so.
    pub async fn activate(&self, digest: &str, accept: &[&str]) -> Value {
        let begun = self.begin_activation(digest, accept).await;
        if begun["progress"].is_object() {
            return self.over(&begun).await;
        }
        begun
    }

    /// Asks for a module to become active. Gives the activation, or the rehearsal that builds its
    /// rows first, or the problem of the gate.
    ///
    /// # Panics
    ///
    /// When the host does not answer so.
    pub async fn begin_activation(&self, digest: &str, accept: &[&str]) -> Value {
        let body = json!({ "digest": digest, "accept": accept });
        let answer = self
            .client
            .post(&self.path("/activations"), &body)
            .send()
            .await;
        match answer.status() {
            status @ (201 | 202) => answer.json(status),
            _ => answer.problem(422, "gate-refused"),
        }
    }

    /// Waits for the end of a rehearsal.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn over(&self, rehearsal: &Value) -> Value {
        let id = rehearsal["rehearsal"]
            .as_str()
            .expect("a rehearsal has an id");
        let path = format!("/v1/rehearsals/{id}");
        eventually("the rehearsal ends", LIMIT, async || {
            let rehearsal = self.client.get(&path).send().await.json(200);
            (rehearsal["status"] != "running").then_some(rehearsal)
        })
        .await
    }

    /// Uploads a component, and activates it. Gives its digest.
    ///
    /// # Panics
    ///
    /// When one of these is refused.
    pub async fn deploy(&self, component: Vec<u8>) -> String {
        let digest = self.upload(component).await;
        let activated = self.activate(&digest, &[]).await;
        assert!(activated["activation"].is_number(), "{activated}");
        digest
    }

    /// Asks for a rehearsal, and waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not begin.
    pub async fn rehearse(&self, digest: &str) -> Value {
        let body = json!({ "digest": digest });
        let begun = self
            .client
            .post(&self.path("/rehearsals"), &body)
            .send()
            .await;
        self.over(&begun.json(202)).await
    }

    /// A request for what is at `path` below the view.
    #[must_use]
    pub fn get(&self, path: &str) -> Request {
        self.client.get(&self.path(path))
    }

    /// Asks for a row.
    pub async fn row(&self, key: &str) -> Answer {
        self.get(&format!("/rows/{key}")).send().await
    }

    /// Asks for a row that shows all that was stored until now.
    ///
    /// # Panics
    ///
    /// When the log cannot be read.
    pub async fn row_now(&self, key: &str) -> Answer {
        let end = self.end_of_log().await;
        let request = self.get(&format!("/rows/{key}"));
        request.header("Gavel-After", &end).send().await
    }

    /// The rows that show all that was stored until now, by key.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    pub async fn all_now(&self) -> Vec<(String, Value)> {
        let end = self.end_of_log().await;
        let mut rows = Vec::new();
        let mut after = String::new();
        loop {
            let request = self
                .get("/rows")
                .query("_after", &after)
                .query("_limit", 1_000);
            let page = request.header("Gavel-After", &end).send().await.json(200);
            for row in page["rows"].as_array().expect("a page has rows") {
                let key = row["key"].as_str().expect("a row has a key");
                rows.push((key.to_owned(), row["row"].clone()));
            }
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => return rows,
            }
        }
    }

    /// The position of the newest event.
    ///
    /// # Panics
    ///
    /// When the log cannot be read.
    pub async fn end_of_log(&self) -> String {
        let mut end = String::new();
        loop {
            let page = self
                .client
                .get("/v1/events")
                .query("after", &end)
                .query("limit", 1_000);
            let page = page.send().await.json(200);
            if let Some(next) = page["next"].as_str() {
                next.clone_into(&mut end);
            }
            if page["caught_up"] == true {
                return end;
            }
        }
    }

    /// Shows the view.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn shown(&self) -> Value {
        self.get("").send().await.json(200)
    }

    fn path(&self, below: &str) -> String {
        format!("/v1/views/{}{below}", self.name)
    }
}
