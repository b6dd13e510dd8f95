// Opens the page in a headless Chromium and treats it as a laptop is treated:
// the network goes and comes, the tab is halted, the lid is closed. Then it
// waits for a line that says which event is the last, and prints what the page
// has seen.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const { CHROMIUM: executablePath, PAGE: url, WINDOW_MS } = process.env;
const beyondWindow = Number(WINDOW_MS) + 5_000;

const browserServer = await chromium.launchServer({
  executablePath,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
process.on("exit", () => browserServer.process().kill("SIGKILL"));
const group = -browserServer.process().pid; // the whole browser, its renderers and network service too
const browser = await chromium.connect(browserServer.wsEndpoint());
const context = await browser.newContext();
const page = await context.newPage();
page.on("pageerror", (error) => console.error("the page failed:", error));
const devtools = await context.newCDPSession(page);
const pauses = { halted: 0, slept: 0 }; // how often the page noticed

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const between = (from, to) => from + Math.random() * (to - from);
const holds = (condition, argument) => page.waitForFunction(condition, argument, { polling: 20, timeout: 60_000 });
const connected = () => holds(() => socket.connected);
const upgraded = () => holds(() => socket.connected && socket.io.engine.transport.name === "websocket");

async function offline(ms) {
  await context.setOffline(true);
  await sleep(ms);
  await context.setOffline(false);
}

// pause has everything in the page stand still for a time, and sees that it did.
async function pause(kind, ms, stop, go) {
  await page.evaluate(() => (witness.longestPause = 0));
  await stop();
  await sleep(ms);
  await go();
  await holds((least) => witness.longestPause >= least, ms * 0.9);
  pauses[kind]++;
}

// The debugger stops a page that can be seen, which the frozen lifecycle state
// does not: timers, network answers and frames wait.
const halt = (ms) => pause("halted", ms,
  async () => {
    await devtools.send("Debugger.enable");
    await devtools.send("Debugger.pause");
  },
  () => devtools.send("Debugger.disable"));

const closeLid = (ms) => pause("slept", ms,
  () => process.kill(group, "SIGSTOP"),
  () => process.kill(group, "SIGCONT"));

await page.goto(url);
await upgraded();
await sleep(1_000);
for (let i = 0; i < 6; i++) { // the network goes once the socket is up
  await offline(between(100, 3_000));
  await upgraded();
  await sleep(between(0, 1_000));
}
for (let i = 0; i < 10; i++) { // it goes while the client moves from polling to WebSocket
  await offline(between(0, 500));
  await connected();
  await sleep(between(0, 120));
}
await upgraded();
for (const ms of [2_000, 5_000, 8_000]) { // the longer ones outlast the server's patience
  await halt(ms);
  await upgraded();
  await closeLid(ms);
  await upgraded();
}
await offline(beyondWindow);
await upgraded();
await halt(beyondWindow);
await upgraded();
await closeLid(beyondWindow);
await upgraded();

console.log("calm");
for await (const last of createInterface({ input: process.stdin })) {
  await holds((offset) => witness.fetching === 0 && witness.log.some((entry) => entry.offset === offset), last);
  const seen = await page.evaluate(() => ({ log: witness.log, known: [...witness.known], fetches: witness.fetches }));
  console.log(JSON.stringify({ ...seen, ...pauses }));
  break;
}
await browser.close();
await browserServer.close();
process.stdin.destroy(); // or it is waited for
