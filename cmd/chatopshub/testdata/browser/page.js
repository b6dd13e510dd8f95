// An agent's page: the unmodified socket.io-client with its default transports.
// It writes down what it is told, in order, and fetches again when it has to.
const { server, token, conversation } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

const witness = { log: [], known: new Set(), fetches: 0, fetching: 0, longestPause: 0 };

const socket = io(server, { auth: { token } });

socket.onAny((name, payload, offset) => {
  witness.log.push({ kind: "event", name, offset });
  if (name.startsWith("conversation.")) witness.known.add(payload.id);
});

socket.on("connect", () => {
  const { engine } = socket.io;
  witness.log.push({ kind: "connect", recovered: socket.recovered, transport: engine.transport.name });
  engine.once("upgrade", () => witness.log.push({ kind: "upgrade" }));
  if (socket.recovered) return;
  socket.emit("join:conversation", { conversationId: conversation }, ({ ok }) => witness.log.push({ kind: "join", ok }));
  refetch();
});

socket.on("disconnect", (reason) => witness.log.push({ kind: "disconnect", reason }));
socket.on("resync", refetch);

// refetch reads the list of conversations, again and again until it has it all:
// the network may be away.
async function refetch() {
  witness.fetching++;
  for (let page = 1, pages = 1; page <= pages; ) {
    try {
      const response = await fetch(`${server}/api/conversations?limit=100&page=${page}`, {
        headers: { Authorization: `Bearer ${token}` },
      });
      if (!response.ok) throw new Error(response.status);
      const { data, meta } = await response.json();
      for (const { id } of data) witness.known.add(id);
      pages = Math.ceil(meta.total / 100);
      page++;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  witness.fetching--;
  witness.fetches++;
}

// A page whose timers stand still sees it by this one.
let last = performance.now();
setInterval(() => {
  const now = performance.now();
  witness.longestPause = Math.max(witness.longestPause, now - last);
  last = now;
}, 50);
