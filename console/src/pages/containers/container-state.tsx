import { useTranslation } from "react-i18next";

const LOOKS: Record<string, string> = {
  running: "state-good",
  created: "state-waiting",
  paused: "state-waiting",
  restarting: "state-waiting",
  removing: "state-off",
  exited: "state-off",
  dead: "state-bad",
  unknown: "state-off",
};

/** What the engine says a container does; `unknown` when no engine was asked. */
export function ContainerState({ state }: { state: string }) {
  const { t } = useTranslation();
  const known = LOOKS[state];
  return <span className={`state ${known ?? "state-off"}`}>{known ? t(`containerState.${state}`) : state}</span>;
}
