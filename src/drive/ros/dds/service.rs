//! A service of the node: requests in, each with its answer, which waits until who asked can hear it.

use ros2_client::dds::{Context, Node, Server, ServiceMapping};
use ros2_client::error::CreateResult;
use ros2_client::qos::History;
use ros2_client::{Message, Name, QosProfile, ServiceTypeName};
use smol::stream::StreamExt;

use super::callers::Callers;

/// As `rmw_qos_profile_services_default` keeps.
const WAITING: usize = 10;

/// One service, and who can hear its answers.
pub(super) struct Service<Q: Message, A: Message> {
    server: Server<Q, A>,
    callers: Callers,
    name: String,
}

/// Quality of service of requests and answers.
pub(super) fn qos() -> QosProfile {
    QosProfile::publisher_default().history(History::KeepLast { depth: WAITING })
}

/// A name below the node's.
pub(super) fn private(node: &Node, name: &str) -> Name {
    Name::new(&node.fully_qualified_name(), name).expect("a node's name and a plain word are a name")
}

impl<Q: Message + Clone + 'static, A: Message + 'static> Service<Q, A> {
    /// The service `name` below the node's, of type `package/srv/kind`.
    pub fn new(
        context: &Context,
        node: &mut Node,
        mapping: ServiceMapping,
        (name, package, kind): (&str, &str, &str),
    ) -> CreateResult<Self> {
        let full_name = format!("{}/{name}", node.fully_qualified_name());
        let callers = Callers::of(context.domain_participant(), mapping, &full_name);
        let kind = ServiceTypeName::new(package, kind);
        let server = node.create_server(mapping, &private(node, name), &kind, qos(), qos())?;
        Ok(Self { server, callers, name: full_name })
    }

    /// Answers every request, one after the other; `None` is no answer.
    pub async fn serve(&self, reply: impl AsyncFn(Q) -> Option<A>) {
        let mut requests = self.server.receive_request_stream();
        while let Some(request) = requests.next().await {
            let answered = match request {
                Ok((id, request)) => {
                    let Some(reply) = reply(request).await else {
                        tracing::warn!(service = self.name, "a request is not answered: the node is stuck or ends");
                        continue;
                    };
                    self.callers.ready(id.writer_gid).await;
                    self.server.async_send_response(id, reply).await.map_err(|e| e.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = answered {
                tracing::warn!(service = self.name, error, "a request has no answer");
            }
        }
    }
}
