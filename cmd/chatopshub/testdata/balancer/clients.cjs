// Many sockets of the unmodified socket.io-client through a balancer: each sends
// heartbeats and waits for their acks. Says what became of them as one line of
// JSON. The arguments are the server, an access token and how many of each kind.
const { io } = require("socket.io-client");

const [server, token, many] = process.argv.slice(2);
const kinds = { default: undefined, polling: ["polling"], websocket: ["websocket"] };
const heartbeats = 5;

function run(kind) {
  return new Promise((resolve) => {
    const seen = { kind, connects: 0, upgraded: false, acks: 0, problems: [] };
    const socket = io(server, { auth: { token }, forceNew: true, ...(kinds[kind] && { transports: kinds[kind] }) });
    const beat = () =>
      socket.timeout(10_000).emit("heartbeat", (error) => {
        if (error) seen.problems.push(`heartbeat: ${error.message}`);
        else seen.acks++;
        seen.upgraded = kind === "default" && socket.io.engine.transport.name === "websocket";
        if (error || (seen.acks >= heartbeats && (kind !== "default" || seen.upgraded))) {
          socket.removeAllListeners("disconnect");
          socket.disconnect();
          resolve(seen);
        } else setTimeout(beat, 50);
      });
    socket.on("connect", () => {
      seen.connects++;
      beat();
    });
    socket.on("connect_error", (error) => seen.problems.push(`connect: ${error.message} ${error.context?.responseText ?? ""}`));
    socket.on("disconnect", (reason) => seen.problems.push(`disconnect: ${reason}`));
  });
}

const all = Object.keys(kinds).flatMap((kind) => Array.from({ length: Number(many) }, () => run(kind)));
Promise.all(all).then((seen) => {
  console.log(JSON.stringify(seen));
  process.exit(0);
});
