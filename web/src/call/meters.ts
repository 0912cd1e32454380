/**
 * Level meters: how loud each side is right now, drawn through the CSS variable `--level` (0 to
 * 1). One animation loop for all; it stops with the call.
 */

const FLOOR_DB = -60;
const CEILING_DB = -12;
const FALL_PER_FRAME = 0.06;
const WINDOW_SAMPLES = 1024;

interface Meter {
  readonly analyser: AnalyserNode;
  readonly source: MediaStreamAudioSourceNode;
  readonly element: HTMLElement;
  level: number;
  peak: number;
}

export class Meters {
  private readonly meters = new Map<HTMLElement, Meter>();
  private readonly samples = new Float32Array(WINDOW_SAMPLES);
  private context: AudioContext | null = null;
  private frame = 0;

  /** Make the audio context; call it from within a press of a button, or it stays suspended. */
  open(): void {
    this.context ??= new AudioContext();
    void this.context.resume();
  }

  /** Show this track's level on `element`, in place of the one shown there before. */
  attach(element: HTMLElement, track: MediaStreamTrack): void {
    if (this.context === null) {
      return;
    }
    this.detach(element);
    const source = this.context.createMediaStreamSource(new MediaStream([track]));
    const analyser = this.context.createAnalyser();
    analyser.fftSize = WINDOW_SAMPLES;
    source.connect(analyser);
    this.meters.set(element, { analyser, source, element, level: 0, peak: 0 });
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  detach(element: HTMLElement): void {
    this.meters.get(element)?.source.disconnect();
    this.meters.delete(element);
    element.style.setProperty("--level", "0");
    element.dataset["level"] = "0";
  }

  /** Stop drawing and give the audio context back. */
  close(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    for (const element of [...this.meters.keys()]) {
      this.detach(element);
    }
    void this.context?.close();
    this.context = null;
  }

  private draw(): void {
    for (const meter of this.meters.values()) {
      meter.analyser.getFloatTimeDomainData(this.samples);
      meter.level = Math.max(levelOf(this.samples), meter.level - FALL_PER_FRAME);
      meter.peak = Math.max(meter.peak, meter.level);
      meter.element.style.setProperty("--level", meter.level.toFixed(3));
      meter.element.dataset["level"] = meter.level.toFixed(2);
      meter.element.dataset["peak"] = meter.peak.toFixed(2);
    }
    this.frame = requestAnimationFrame(() => this.draw());
  }
}

/** Loudness of a window of samples on a scale people see as even: 0 silent, 1 loud. */
export function levelOf(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) {
    sum += sample * sample;
  }
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (db - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
}
