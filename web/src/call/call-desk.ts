/**
 * Makes calls: turns what the person does into requests, and what the network says into events
 * of the state machine. Holds the one current state and transcript; the view is told of each
 * change. Everything begun by a call ends with it, through one AbortController.
 */

import type { Api, Call } from "../shared/api";
import { ProblemError } from "../shared/problem";
import type { Problem } from "../shared/problem";
import type { TabMemory } from "../shared/storage";
import { advance, agentPresence, agentReads, isUnderWay, openingState } from "./call-state";
import type { CallEvent, CallState, EndReason } from "./call-state";
import type { Capture } from "./microphone";
import type { RoomConnection, RoomListener } from "./room-connection";
import { EMPTY, close, deliver, divide, hear, recall, type } from "./transcript";
import type { Transcript } from "./transcript";

const HISTORY_COUNT = 50;
const TICK_MS = 1_000;
const TICKS_PER_POLL_WHILE_SERVED = 5; // finds a killed agent long before LiveKit's 20 s

/** What the desk needs from the browser; tests hand in their own. */
export interface Surroundings {
  readonly api: Api;
  readonly memory: TabMemory;
  readonly captureMicrophone: () => Promise<Capture>;
  /** Whether the browser will ask the person before it opens the microphone. */
  readonly microphoneAsks: () => Promise<boolean>;
  readonly connect: (listener: RoomListener) => Promise<RoomConnection>;
  readonly meters: {
    open(): void;
    showMine(track: MediaStreamTrack | null): void;
    showAgent(track: MediaStreamTrack): void;
    close(): void;
  };
  readonly changed: (state: CallState, transcript: Transcript) => void;
}

export class CallDesk {
  private state: CallState;
  private transcript: Transcript = EMPTY;
  private connection: RoomConnection | null = null;
  private track: MediaStreamTrack | null = null;
  private attempt = new AbortController();
  private unsent: { readonly id: string; readonly text: string }[] = [];
  private typedCount = 0;
  private callCount = 0;

  constructor(private readonly around: Surroundings) {
    const { memory } = around;
    this.state = openingState(memory.read("conversation_id"), memory.read("token") !== null);
  }

  /** Show the opening screen, with what was said before if this tab remembers a conversation. */
  async open(): Promise<void> {
    this.show();
    await this.loadHistory(this.attempt.signal);
  }

  /** A link with a token was opened in the page that is already here. */
  async tokenReceived(): Promise<void> {
    this.dispatch({ kind: "token_received" });
    if (!isUnderWay(this.state)) {
      await this.loadHistory(this.attempt.signal);
    }
  }

  /** Begin a call; without a microphone where the person prefers to type. */
  async start(withMicrophone: boolean): Promise<void> {
    if (isUnderWay(this.state)) {
      return;
    }
    this.attempt.abort();
    this.attempt = new AbortController();
    const { signal } = this.attempt;
    this.dispatch({ kind: "start_pressed" });
    this.around.meters.open();
    try {
      await this.makeCall(withMicrophone, signal);
    } catch (error) {
      if (signal.aborted) {
        return; // hung up meanwhile
      }
      this.cleanUp();
      this.dispatch({ kind: "failed", problem: problemOf(error) });
      this.rememberConversation();
    }
  }

  async hangUp(): Promise<void> {
    const connection = this.connection;
    this.over("hung_up");
    await connection?.leave();
  }

  newConversation(): void {
    if (!isUnderWay(this.state)) {
      this.transcript = EMPTY;
      this.dispatch({ kind: "conversation_forgotten" });
      this.rememberConversation();
    }
  }

  /** Ask for the microphone in a call that runs without. */
  async askMicrophone(): Promise<void> {
    const { signal } = this.attempt;
    await this.publish(await this.capture(signal), signal);
  }

  async toggleMute(): Promise<void> {
    const muted = this.state.microphone === "live";
    if (!muted && this.state.microphone !== "muted") {
      return;
    }
    this.dispatch({ kind: "microphone_changed", microphone: muted ? "muted" : "live" });
    await this.connection?.setMuted(muted);
  }

  async allowAudio(): Promise<void> {
    await this.connection?.allowAudio();
  }

  /** Have the backend make sure again that an agent comes. */
  async requestAgent(): Promise<void> {
    const { room } = this.state;
    if (room === null) {
      return;
    }
    const { signal } = this.attempt;
    this.dispatch({ kind: "agent_requested" });
    try {
      await this.around.api.requestAgent(room, signal);
    } catch (error) {
      if (!signal.aborted) {
        this.dispatch({ kind: "poll_failed", problem: problemOf(error) });
      }
    }
  }

  /** Show a typed line at once, and send it as soon as an agent can read it. */
  async type(text: string): Promise<void> {
    const line = { id: `typed-${++this.typedCount}`, text: text.trim() };
    if (line.text === "" || this.state.phase !== "in_call") {
      return;
    }
    this.unsent.push(line);
    this.transcript = type(this.transcript, line.id, line.text, "waiting");
    this.show();
    await this.sendTyped();
  }

  private async makeCall(withMicrophone: boolean, signal: AbortSignal): Promise<void> {
    const { api, memory } = this.around;
    const opening = withMicrophone ? this.capture(signal) : Promise.resolve(null);
    if (withMicrophone && (await this.around.microphoneAsks())) {
      await opening; // a person may think for minutes: no agent should wait in the room for it
      signal.throwIfAborted();
    }
    const { conversationId } = this.state;
    const call = await api.openCall(
      {
        conversationId,
        identity: memory.read("identity"),
        name: memory.read("name"),
      },
      signal,
    );
    this.granted(call);
    if (conversationId !== null) {
      void this.loadHistory(signal);
    }
    await this.enterRoom(call, opening, signal);
  }

  private granted(call: Call): void {
    this.dispatch({
      kind: "call_granted",
      room: call.room,
      conversationId: call.conversationId,
    });
    this.rememberConversation();
    this.around.memory.write("identity", call.identity);
  }

  private async enterRoom(
    call: Call,
    opening: Promise<MediaStreamTrack | null>,
    signal: AbortSignal,
  ): Promise<void> {
    const connection = await this.around.connect(this.listener(signal));
    signal.throwIfAborted();
    this.connection = connection;
    await connection.join(call.url, call.token);
    signal.throwIfAborted();
    this.dispatch({ kind: "connected" });
    void this.watchAgent(call.room, signal);
    await this.publish(await opening, signal);
  }

  /** A microphone that cannot be added leaves a call in which one can type. */
  private async publish(track: MediaStreamTrack | null, signal: AbortSignal): Promise<void> {
    if (track === null || this.connection === null || signal.aborted) {
      return;
    }
    try {
      await this.connection.publishMicrophone(track);
    } catch {
      if (!signal.aborted) {
        track.stop();
        this.microphoneGone("rejected");
      }
    }
  }

  private listener(signal: AbortSignal): RoomListener {
    const tell = (event: CallEvent): void => {
      if (!signal.aborted) {
        this.dispatch(event);
        void this.sendTyped();
      }
    };
    return {
      ended: (reason) => this.roomEnded(reason, signal),
      linkChanged: (link) => tell({ kind: "link_changed", link }),
      audioBlocked: (blocked) => tell({ kind: "audio_blocked", blocked }),
      agentJoined: (activity) => tell({ kind: "agent_joined", activity }),
      agentLeft: () => tell({ kind: "agent_left" }),
      agentActivity: (activity) => tell({ kind: "agent_activity", activity }),
      agentAudio: (track) => this.around.meters.showAgent(track),
      heard: (heard) => {
        if (!signal.aborted) {
          this.transcript = hear(this.transcript, heard);
          this.show();
        }
      },
    };
  }

  private roomEnded(reason: EndReason, signal: AbortSignal): void {
    // While joining, the failed join says more than the disconnection that goes with it.
    if (!signal.aborted && this.state.phase === "in_call") {
      this.over(reason);
    }
  }

  private over(reason: EndReason): void {
    this.cleanUp();
    this.callCount += 1;
    this.transcript = divide(close(this.transcript), `call-${this.callCount}`, "Call ended");
    this.dispatch({ kind: "ended", reason });
  }

  private cleanUp(): void {
    this.attempt.abort();
    this.unsent = [];
    this.track?.stop();
    this.track = null;
    this.connection = null;
    this.around.meters.close();
  }

  private async capture(signal: AbortSignal): Promise<MediaStreamTrack | null> {
    this.dispatch({ kind: "microphone_changed", microphone: "asking" });
    const capture = await this.around.captureMicrophone();
    if (signal.aborted) {
      capture.track?.stop();
      return null;
    }
    if (capture.track === null) {
      this.dispatch({ kind: "microphone_changed", microphone: capture.why });
      return null;
    }
    const { track } = capture;
    track.addEventListener("ended", () => void this.microphoneLost(track));
    this.track = track;
    this.around.meters.showMine(track);
    this.dispatch({ kind: "microphone_changed", microphone: "live" });
    return track;
  }

  private async microphoneLost(track: MediaStreamTrack): Promise<void> {
    if (this.track === track) {
      this.microphoneGone("missing");
      await this.connection?.withdrawMicrophone();
    }
  }

  private microphoneGone(microphone: "missing" | "rejected"): void {
    this.track = null;
    this.around.meters.showMine(null);
    this.dispatch({ kind: "microphone_changed", microphone });
  }

  private async watchAgent(room: string, signal: AbortSignal): Promise<void> {
    for (let tick = 0; !signal.aborted; tick += 1) {
      const { agent, backend } = this.state;
      const served = agentPresence(agent) === "here" && backend === "fine";
      if (!served || tick % TICKS_PER_POLL_WHILE_SERVED === 0) {
        await this.poll(room, signal);
      }
      await pause(TICK_MS, signal);
    }
  }

  private async poll(room: string, signal: AbortSignal): Promise<void> {
    try {
      const status = await this.around.api.callStatus(room, signal);
      this.dispatch({ kind: "status_polled", status });
    } catch (error) {
      if (!signal.aborted) {
        this.dispatch({ kind: "poll_failed", problem: problemOf(error) });
      }
    }
  }

  private async sendTyped(): Promise<void> {
    while (this.connection !== null && agentReads(this.state)) {
      const line = this.unsent.shift();
      if (line === undefined) {
        return;
      }
      const sent = await this.connection.say(line.text).then(
        () => true,
        () => false,
      );
      this.transcript = deliver(this.transcript, line.id, sent ? "done" : "failed");
      this.show();
    }
  }

  private async loadHistory(signal: AbortSignal): Promise<void> {
    const { conversationId } = this.state;
    const { api, memory } = this.around;
    if (conversationId === null || memory.read("token") === null) {
      return;
    }
    try {
      const messages = await api.messages(conversationId, HISTORY_COUNT, signal);
      this.transcript = recall(this.transcript, messages, memory.read("identity"));
      this.show();
    } catch (error) {
      this.historyFailed(error, signal);
    }
  }

  /** Before a call this is the first word from the backend; in a call the call matters more. */
  private historyFailed(error: unknown, signal: AbortSignal): void {
    if (signal.aborted || isUnderWay(this.state)) {
      return;
    }
    const problem = problemOf(error);
    if (problem.kind === "conversation_unknown") {
      this.newConversation();
    } else {
      this.dispatch({ kind: "failed", problem });
    }
  }

  private rememberConversation(): void {
    const { conversationId } = this.state;
    if (conversationId === null) {
      this.around.memory.forget("conversation_id");
    } else {
      this.around.memory.write("conversation_id", conversationId);
    }
  }

  private dispatch(event: CallEvent): void {
    this.state = advance(this.state, event);
    this.show();
  }

  private show(): void {
    this.around.changed(this.state, this.transcript);
  }
}

function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) {
    return error.problem;
  }
  // A part of the page that cannot be loaded any more: the backend was updated meanwhile.
  return error instanceof TypeError ? { kind: "page_outdated" } : { kind: "backend_broken" };
}

function pause(duration_ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, duration_ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
