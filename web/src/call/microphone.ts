/**
 * Asking for the microphone. Never throws: a call works without one, so a refusal is a state of
 * the microphone, not a failure of the call.
 */

import type { Microphone } from "./call-state";

export type Capture =
  | { readonly track: MediaStreamTrack }
  | { readonly track: null; readonly why: Microphone };

const WHY_OF_ERROR: Readonly<Record<string, Microphone>> = {
  NotAllowedError: "refused",
  SecurityError: "refused",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
  NotReadableError: "busy",
  AbortError: "busy",
};

/** Ask the browser for the microphone; it may ask the person. */
export async function captureMicrophone(): Promise<Capture> {
  // Off https the browser does not even have the property, whatever its type says.
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  if (devices === undefined) {
    return { track: null, why: "insecure" };
  }
  try {
    const stream = await devices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    const track = stream.getAudioTracks()[0];
    return track ? { track } : { track: null, why: "missing" };
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    return { track: null, why: WHY_OF_ERROR[name] ?? "missing" };
  }
}

/** Whether the browser would ask the person first; true where it does not say. */
export async function microphoneAsks(): Promise<boolean> {
  try {
    const permission = await navigator.permissions.query({ name: "microphone" });
    return permission.state === "prompt";
  } catch {
    return true;
  }
}
