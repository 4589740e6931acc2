//! The codes of `check`. A code is for good: its number is never used for anything else.

use ringfence_k8s::Level;

/// A kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// `RF001`.
    pub id: &'static str,
    /// The same in words, such as `policy-types-implicit`.
    pub name: &'static str,
    /// How bad it mostly is.
    pub level: Level,
    /// What it says, in one line.
    pub title: &'static str,
    /// Its page: what happens, why, an example and the fix. Markdown.
    pub page: &'static str,
}

impl Code {
    /// The code of a number, whatever the case, or of a name.
    pub fn find(text: &str) -> Option<&'static Code> {
        CODES.iter().copied().find(|c| c.id.eq_ignore_ascii_case(text) || c.name == text)
    }
}

macro_rules! codes {
    ($($id:ident $name:literal $level:ident $title:literal;)*) => {
        $(
            #[doc = $title]
            pub static $id: Code = Code {
                id: stringify!($id),
                name: $name,
                level: Level::$level,
                title: $title,
                page: include_str!(concat!("../../../docs/checks/", stringify!($id), ".md")),
            };
        )*
        /// Every code, by number.
        pub static CODES: &[&Code] = &[$(&$id),*];
    };
}

codes! {
    RF001 "policy-types-implicit" Note "`policyTypes` is left to the server";
    RF002 "empty-egress-without-type" Warning "an empty `egress` without `policyTypes` isolates nothing";
    RF003 "namespace-implicit" Note "the namespace is left to whoever applies the policy";

    RF010 "label-nobody-carries" Warning "a peer's label that no pod carries";
    RF011 "selects-no-pod" Warning "the policy selects no pod";
    RF012 "namespace-label-unknown" Warning "a namespace label that no namespace carries";
    RF013 "namespace-name-as-label" Warning "a namespace's name used as a label that it does not carry";
    RF014 "labels-expected-to-or" Warning "labels that are each carried, but never by one pod";

    RF020 "stray-dash" Warning "a dash makes two peers of what was meant as one";
    RF021 "missing-dash" Warning "two peers written as one, which matches nobody";

    RF030 "service-port" Warning "a Service's port where the pod's port is meant";
    RF031 "named-port-unknown" Warning "a named port that no selected pod has";
    RF032 "named-port-outside" Warning "a named port toward addresses never matches";
    RF033 "icmp-wish" Warning "a policy for ICMP alone, which none can be";

    RF040 "block-around-pods" Warning "an ipBlock that holds pod addresses";
    RF041 "block-around-services" Warning "an ipBlock that holds a Service's address";
    RF042 "everyone-includes-cluster" Note "the whole address space lets the cluster in";

    RF050 "dns-forgotten" Warning "egress is isolated and DNS is forgotten";
    RF051 "dns-to-everyone" Warning "DNS is opened to the whole Internet";
    RF052 "dns-udp-only" Warning "DNS is allowed on UDP only";
    RF053 "metadata-open" Warning "the cloud's metadata service is open";
    RF054 "metadata-blocked" Warning "the metadata service is blocked for pods that use it";
    RF055 "api-server-unreachable" Warning "the API server is blocked for pods that use it";

    RF060 "allow-voids-deny" Warning "an allow-all makes a default deny useless";
    RF061 "forgotten-allow-all" Warning "an allow-all makes other rules useless";
    RF062 "one-side-only" Warning "one side of a pair allows what the other denies";
    RF063 "host-network" Warning "pods on their node's network, which no policy holds";
    RF064 "load-balancer-sources" Warning "sources that a load balancer hides from the policy";

    RF070 "changes-nothing" Warning "the policy changes nothing";
    RF071 "covered-rule" Note "a rule that others cover";
    RF072 "no-default-deny" Note "a namespace without a default deny";

    RF080 "fails-closed" Warning "a cluster-wide rule that this version does not know fails closed";
    RF081 "equal-priority" Warning "two cluster-wide policies share a priority";
    RF082 "never-reached" Warning "a cluster-wide rule that is never reached";
    RF083 "accept-over-deny" Note "an Accept of the Admin tier overrides default denies";

    RF090 "duplicate-name" Warning "the same name twice";
    RF091 "rules-without-effect" Warning "rules in a direction that `policyTypes` leaves out";
    RF092 "no-pod-selector" Warning "no `podSelector`: every pod of the namespace";
    RF093 "empty-item" Warning "a dash with nothing behind it";
    RF094 "host-bits" Warning "an address range with bits beyond its prefix";
    RF095 "old-api" Warning "an API version that is gone";
    RF096 "foreign-policy" Warning "another product's policy, which is passed over";
    RF097 "doubtful-metadata" Warning "metadata that the server treats otherwise than it reads";

    RF100 "unreadable" Error "what cannot be read";
    RF101 "unknown-field" Error "an unknown field, or one at the wrong indentation";
    RF102 "missing-field" Error "a field that must be there";
    RF103 "invalid-selector" Error "a selector that the server refuses";
    RF104 "invalid-port" Error "a port that the server refuses";
    RF105 "invalid-protocol" Error "a protocol that policies cannot name, such as ICMP";
    RF106 "invalid-address" Error "an address range that the server refuses";
    RF107 "invalid-peer" Error "a peer that names nobody, or two things at once";
    RF108 "invalid-policy-type" Error "a policy type that does not exist";

    RF110 "unused-suppression" Note "a suppression that suppresses nothing";
}
