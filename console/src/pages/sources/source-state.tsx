import { useTranslation } from "react-i18next";

const LOOKS: Record<string, string> = {
  running: "state-good",
  starting: "state-waiting",
  waiting: "state-waiting",
  failed: "state-bad",
  stopped: "state-off",
};

/** What a source does, in a word and a mark. */
export function SourceState({ state }: { state: string }) {
  const { t } = useTranslation();
  const known = LOOKS[state];
  return <span className={`state ${known ?? "state-off"}`}>{known ? t(`sourceState.${state}`) : state}</span>;
}
