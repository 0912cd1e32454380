/** The call page's composition: the only module that touches the window when it is loaded. */

import { Api } from "../shared/api";
import { adoptLink } from "../shared/credentials";
import { Http } from "../shared/http";
import { element } from "../shared/page";
import { TabMemory, tabStorage } from "../shared/storage";
import { CallDesk } from "./call-desk";
import { Meters } from "./meters";
import { captureMicrophone, microphoneAsks } from "./microphone";
import type { RoomConnection, RoomListener } from "./room-connection";
import { TranscriptView } from "./transcript-view";
import { CallView } from "./view";
import type { Action } from "./words";

const memory = new TabMemory(tabStorage());
adoptLink(memory);

const meters = new Meters();
const mine = element("meter-you");
const agents = element("meter-agent");
const view = new CallView({ act, type: (text) => void desk.type(text) });
const transcriptView = new TranscriptView(
  element<HTMLOListElement>("transcript"),
  element("transcript-scroller"),
  element("transcript-hint"),
);

const desk = new CallDesk({
  api: new Api(new Http(new URL(document.baseURI), () => memory.read("token"))),
  memory,
  captureMicrophone,
  microphoneAsks,
  connect,
  meters: {
    open: () => meters.open(),
    showMine: (track) => (track ? meters.attach(mine, track) : meters.detach(mine)),
    showAgent: (track) => meters.attach(agents, track),
    close: () => meters.close(),
  },
  changed: (state, transcript) => {
    view.draw(state);
    transcriptView.draw(transcript);
  },
});

/** LiveKit's library is most of the page: it loads beside it, and is there when it is needed. */
const library = import("./room-connection");
library.catch(() => undefined); // told when a call begins and needs it

async function connect(listener: RoomListener): Promise<RoomConnection> {
  const { RoomConnection } = await library;
  return new RoomConnection(listener);
}

function act(action: Action): void {
  switch (action) {
    case "start":
      return void desk.start(true);
    case "start_typing":
      return void desk.start(false);
    case "new_conversation":
      return desk.newConversation();
    case "hang_up":
      return void desk.hangUp();
    case "toggle_mute":
      return void desk.toggleMute();
    case "ask_microphone":
      return void desk.askMicrophone();
    case "request_agent":
      return void desk.requestAgent();
    case "allow_audio":
      return void desk.allowAudio();
  }
}

window.addEventListener("hashchange", () => {
  if (adoptLink(memory)) {
    void desk.tokenReceived();
  }
});
void desk.open();
