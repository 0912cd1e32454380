/**
 * The page's edge to LiveKit: joins the room, plays what it hears, brings transcription streams
 * and the agent's state as plain values. LiveKit's types stop here; the module is loaded on its
 * own, beside the page, because the library is most of the page's weight.
 *
 * If the connection is lost for good, `ended` says so once; what was said is stored by then.
 */

import {
  ConnectionError,
  ConnectionErrorReason,
  DisconnectReason,
  Room,
  RoomEvent,
  Track,
  setLogLevel,
} from "livekit-client";
import type {
  LocalTrackPublication,
  Participant,
  RemoteParticipant,
  RemoteTrack,
  TextStreamReader,
} from "livekit-client";
import { ProblemError } from "../shared/problem";
import type { Problem } from "../shared/problem";
import type { AgentActivity, EndReason } from "./call-state";
import type { Heard, Side } from "./transcript";

const TRANSCRIPTION_TOPIC = "lk.transcription";
const CHAT_TOPIC = "lk.chat";
const STATE_ATTRIBUTE = "lk.agent.state";
const SEGMENT_ATTRIBUTE = "lk.segment_id";
const FINAL_ATTRIBUTE = "lk.transcription_final";
const ACTIVITIES: readonly string[] = ["initializing", "listening", "thinking", "speaking"];

export interface RoomListener {
  readonly ended: (reason: EndReason) => void;
  readonly linkChanged: (link: "up" | "reconnecting") => void;
  readonly audioBlocked: (blocked: boolean) => void;
  readonly agentJoined: (activity: AgentActivity | null) => void;
  readonly agentLeft: () => void;
  readonly agentActivity: (activity: AgentActivity) => void;
  readonly agentAudio: (track: MediaStreamTrack) => void;
  readonly heard: (heard: Heard) => void;
}

export class RoomConnection {
  private readonly room = new Room({ stopLocalTrackOnUnpublish: true });
  private readonly players = new Map<RemoteTrack, HTMLMediaElement>();
  private microphone: LocalTrackPublication | null = null;
  private streamCount = 0;

  constructor(private readonly listener: RoomListener) {
    setLogLevel("error");
    this.listen();
  }

  /** Join the room; a failure comes out as a ProblemError. */
  async join(url: string, token: string): Promise<void> {
    try {
      await this.room.connect(url, token);
    } catch (error) {
      throw new ProblemError(problemOf(error));
    }
    const agent = this.agents().at(-1);
    if (agent) {
      this.listener.agentJoined(activityOf(agent));
    }
  }

  async publishMicrophone(track: MediaStreamTrack): Promise<void> {
    await this.withdrawMicrophone();
    this.microphone = await this.room.localParticipant.publishTrack(track, {
      source: Track.Source.Microphone,
      name: "microphone",
    });
  }

  async withdrawMicrophone(): Promise<void> {
    const track = this.microphone?.track;
    this.microphone = null;
    if (track) {
      await this.room.localParticipant.unpublishTrack(track);
    }
  }

  async setMuted(muted: boolean): Promise<void> {
    await (muted ? this.microphone?.mute() : this.microphone?.unmute());
  }

  /** Send a typed line to whoever reads the chat. */
  async say(text: string): Promise<void> {
    await this.room.localParticipant.sendText(text, { topic: CHAT_TOPIC });
  }

  /** Allow sound; works only from within a press of a button. */
  async allowAudio(): Promise<void> {
    await this.room.startAudio();
  }

  async leave(): Promise<void> {
    await this.room.disconnect();
  }

  private listen(): void {
    const { room, listener } = this;
    room
      .on(RoomEvent.Disconnected, (reason) => this.over(reason))
      .on(RoomEvent.Reconnecting, () => listener.linkChanged("reconnecting"))
      .on(RoomEvent.SignalReconnecting, () => listener.linkChanged("reconnecting"))
      .on(RoomEvent.Reconnected, () => listener.linkChanged("up"))
      .on(RoomEvent.AudioPlaybackStatusChanged, () => listener.audioBlocked(!room.canPlaybackAudio))
      .on(RoomEvent.ParticipantConnected, (who) => this.arrived(who))
      .on(RoomEvent.ParticipantDisconnected, (who) => this.departed(who))
      .on(RoomEvent.ParticipantAttributesChanged, (changed, who) => this.changed(changed, who))
      .on(RoomEvent.TrackSubscribed, (track, _publication, who) => this.play(track, who))
      .on(RoomEvent.TrackUnsubscribed, (track) => this.silence(track));
    room.registerTextStreamHandler(TRANSCRIPTION_TOPIC, (reader, from) => {
      void this.read(reader, from.identity);
    });
  }

  private over(reason: DisconnectReason | undefined): void {
    for (const track of this.players.keys()) {
      this.silence(track);
    }
    this.listener.ended(endReasonOf(reason));
  }

  private arrived(who: RemoteParticipant): void {
    if (who.isAgent) {
      this.listener.agentJoined(activityOf(who));
    }
  }

  private departed(who: RemoteParticipant): void {
    if (!who.isAgent) {
      return;
    }
    const successor = this.agents().at(-1); // the ghost of a killed agent leaves after it came
    if (successor) {
      this.listener.agentJoined(activityOf(successor));
    } else {
      this.listener.agentLeft();
    }
  }

  private changed(changed: Record<string, string>, who: Participant): void {
    const activity = activityOf(who);
    if (STATE_ATTRIBUTE in changed && activity !== null && who === this.agents().at(-1)) {
      this.listener.agentActivity(activity);
    }
  }

  /** The agents in the room, the one that joined last at the end. */
  private agents(): RemoteParticipant[] {
    return [...this.room.remoteParticipants.values()]
      .filter((who) => who.isAgent)
      .sort((a, b) => (a.joinedAt?.getTime() ?? 0) - (b.joinedAt?.getTime() ?? 0));
  }

  private play(track: RemoteTrack, who: RemoteParticipant): void {
    if (track.kind !== Track.Kind.Audio) {
      return;
    }
    const player = track.attach();
    player.hidden = true;
    document.body.append(player);
    this.players.set(track, player);
    if (who.isAgent) {
      this.listener.agentAudio(track.mediaStreamTrack);
    }
  }

  private silence(track: RemoteTrack): void {
    track.detach();
    this.players.get(track)?.remove();
    this.players.delete(track);
  }

  /**
   * Follow one stream. The agent's words come as one stream of pieces per segment; a person's as
   * one stream per revision, each with the whole text. Both are "this stream's text so far".
   */
  private async read(reader: TextStreamReader, identity: string): Promise<void> {
    const segmentId = reader.info.attributes?.[SEGMENT_ATTRIBUTE] ?? reader.info.id;
    this.streamCount += 1;
    const source = { segmentId, ...this.speaker(identity), revision: this.streamCount };
    let text = "";
    try {
      for await (const piece of reader) {
        text += piece;
        this.listener.heard({ ...source, text, final: false });
      }
    } catch {
      // The sender went away in mid-sentence: what came is what was said.
      this.listener.heard({ ...source, text, final: true });
      return;
    }
    const final = reader.info.attributes?.[FINAL_ATTRIBUTE] === "true"; // the end may set it
    this.listener.heard({ ...source, text, final });
  }

  private speaker(identity: string): { side: Side; name: string | null } {
    if (identity === this.room.localParticipant.identity) {
      return { side: "me", name: null };
    }
    const who = this.room.remoteParticipants.get(identity);
    return who === undefined || who.isAgent
      ? { side: "agent", name: null }
      : { side: "other", name: who.name || identity };
  }
}

function activityOf(who: Participant): AgentActivity | null {
  const value = who.attributes[STATE_ATTRIBUTE] ?? "";
  return ACTIVITIES.includes(value) ? (value as AgentActivity) : null;
}

function endReasonOf(reason: DisconnectReason | undefined): EndReason {
  switch (reason) {
    case DisconnectReason.CLIENT_INITIATED:
      return "hung_up";
    case DisconnectReason.DUPLICATE_IDENTITY:
      return "duplicate_identity";
    case DisconnectReason.PARTICIPANT_REMOVED:
      return "removed";
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return "room_closed";
    case DisconnectReason.SERVER_SHUTDOWN:
      return "server_shutdown";
    default:
      return "connection_lost";
  }
}

function problemOf(error: unknown): Problem {
  if (!(error instanceof ConnectionError)) {
    return { kind: "media_blocked" }; // signalling worked, the media did not
  }
  switch (error.reason) {
    case ConnectionErrorReason.NotAllowed:
    case ConnectionErrorReason.LeaveRequest:
      return { kind: "livekit_refused" };
    case ConnectionErrorReason.InternalError:
      return { kind: /pc connection/i.test(error.message) ? "media_blocked" : "livekit_away" };
    default:
      return { kind: "livekit_away" };
  }
}
