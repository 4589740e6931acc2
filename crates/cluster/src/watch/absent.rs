//! Whether a kind that an API server does not have in our version is there in another one: then it is not absent, and what
//! its objects say would be lost.

use crate::asker::{Answer, Asker};
use crate::discovery;
use crate::watch::{Kind, What};

/// What it means that a kind was not found.
pub(crate) async fn really(asker: &Asker, kind: Kind) -> What {
    match elsewhere(asker, kind).await {
        Ok(None) => What::Absent,
        Ok(Some(version)) => {
            What::Failed(format!("{kind} is served in {version} only, which this version does not read"))
        }
        Err(why) => What::Failed(format!("whether {kind} is served in another version is not known: {why}")),
    }
}

/// Another version in which a kind is served.
async fn elsewhere(asker: &Asker, kind: Kind) -> Result<Option<String>, String> {
    let group = format!("/apis/{}", kind.group());
    let Some(answer) = ask(asker, &group).await? else { return Ok(None) };
    let versions = answer.get("versions").and_then(|v| v.as_array()).ok_or("a group without versions")?;
    for version in versions {
        let version =
            version.get("groupVersion").and_then(|v| v.as_str()).ok_or("a version without a name")?;
        if version == kind.api_version() {
            continue;
        }
        let Some(answer) = ask(asker, &format!("/apis/{version}")).await? else { continue };
        let served = discovery::resources(version, &answer).ok_or("a list of kinds that cannot be read")?;
        if served.iter().any(|served| served.kind == kind.as_str()) {
            return Ok(Some(version.to_owned()));
        }
    }
    Ok(None)
}

async fn ask(asker: &Asker, path: &str) -> Result<Option<serde_json::Value>, String> {
    match asker.get(path, "application/json").await {
        Ok(Answer::Json(answer)) => Ok(Some(answer)),
        Ok(Answer::Absent) => Ok(None),
        Ok(Answer::Forbidden(why) | Answer::Refused(why)) => Err(why),
        Err(error) => Err(crate::causes(&error)),
    }
}
