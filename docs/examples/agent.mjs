// An agent at work: logs in, shows every event as it comes, and takes each new
// conversation that nobody else has taken yet.
//
//   npm ci && node agent.mjs [e-mail] [password]
//
// The client is the unmodified socket.io-client.
import { io } from "socket.io-client";

const server = process.env.SERVER ?? "http://localhost:3001";
const [email = "agent1@chatopshub.local", password = "agent123"] = process.argv.slice(2);

async function call(method, path, token, body) {
  const response = await fetch(server + path, {
    method,
    headers: {
      ...(body && { "Content-Type": "application/json" }),
      ...(token && { Authorization: `Bearer ${token}` }),
    },
    body: body && JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

const login = await call("POST", "/api/auth/login", null, { email, password });
if (login.status !== 200) {
  console.error(`login: ${login.status} ${login.body.detail ?? login.body.title}`);
  process.exit(1);
}
const { accessToken, user } = login.body;
console.log(`${user.name} (${user.role}) is logged in`);

async function take(conversation, name) {
  const { status, body } = await call("POST", `/api/conversations/${conversation}/accept`, accessToken);
  if (status === 200) console.log(`  took ${name}'s conversation`);
  else console.log(`  too late for ${name}: ${body.code}${body.holder ? `, ${body.holder.name} has it` : ""}`);
}

const socket = io(server, { auth: { token: accessToken } });
socket.on("connect", () => console.log(`connected as ${socket.id}`));
socket.on("connect_error", (error) => console.error(`not connected: ${error.message}`));
socket.on("disconnect", (reason) => console.log(`disconnected: ${reason}`));
socket.onAny((event, payload) => console.log(event, JSON.stringify(payload)));
socket.on("conversation.created", (c) => take(c.id, c.contact.displayName));

setInterval(() => socket.connected && socket.emit("heartbeat", () => {}), 30_000);
process.on("SIGINT", () => {
  socket.disconnect();
  process.exit(0);
});
