/** The stretch of time a page speaks of: a preset that moves with the clock, or two fixed ends. */

import { DatePicker } from "antd";
import dayjs, { type Dayjs } from "dayjs";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { formatDateTime, formatZone } from "../lib/format";
import { absoluteRange, fixRange, presetOf, PRESETS, type Range } from "../lib/range";
import { serverNow } from "../api/client";
import { Drop } from "./drop";
import { Icon } from "./icon";

interface TimePickerProps {
  range: Range;
  onChange: (range: Range) => void;
}

export function TimePicker({ range, onChange }: TimePickerProps) {
  const { t } = useTranslation();
  const label = useRangeLabel(range);
  return (
    <Drop
      className="btn time-btn"
      aria-label={`${t("time.range")}: ${label}`}
      content={(close) => (
        <Choice
          range={range}
          onChoose={(next) => {
            close();
            onChange(next);
          }}
        />
      )}
    >
      <Icon name="clock" />
      <span className="nums truncate">{label}</span>
      <Icon name="chevron" size={12} />
    </Drop>
  );
}

function Choice({ range, onChoose }: { range: Range; onChoose: (range: Range) => void }) {
  const { t } = useTranslation();
  const preset = presetOf(range);
  const fixed = fixRange(range, serverNow());
  const [ends, setEnds] = useState<[Dayjs, Dayjs]>([dayjs(fixed.start), dayjs(fixed.end)]);
  return (
    <div className="time-choice">
      <div className="time-presets" role="group" aria-label={t("time.relative")}>
        {PRESETS.map((name) => (
          <button
            key={name}
            type="button"
            className="btn btn-small"
            aria-pressed={name === preset}
            onClick={() => onChoose({ from: `now-${name}`, to: "now" })}
          >
            {t(`time.last.${name}`)}
          </button>
        ))}
      </div>
      <div className="time-absolute">
        <span className="muted">{t("time.absolute", { zone: formatZone(new Date()) })}</span>
        {(["from", "to"] as const).map((end, index) => (
          <label key={end}>
            <span className="muted">{t(`time.${end}`)}</span>
            <DatePicker
              showTime
              allowClear={false}
              needConfirm={false}
              format="YYYY-MM-DD HH:mm:ss"
              value={ends[index]}
              onChange={(value: Dayjs | null) => value && setEnds(index === 0 ? [value, ends[1]] : [ends[0], value])}
            />
          </label>
        ))}
        <button
          type="button"
          className="btn btn-primary"
          disabled={!ends[0].isBefore(ends[1])}
          onClick={() => onChoose(absoluteRange(ends[0].valueOf(), ends[1].valueOf()))}
        >
          {t("time.apply")}
        </button>
      </div>
    </div>
  );
}

/** `Last 15 minutes`, or both ends. */
export function useRangeLabel(range: Range): string {
  const { t } = useTranslation();
  const preset = presetOf(range);
  if (preset && (PRESETS as readonly string[]).includes(preset)) return t(`time.last.${preset}`);
  const { start, end } = fixRange(range, serverNow());
  const from = formatDateTime(new Date(start));
  const to = formatDateTime(new Date(end));
  if (range.to === "now") return `${from} – ${t("time.now")}`;
  return from.slice(0, 10) === to.slice(0, 10) ? `${from} – ${to.slice(11)}` : `${from} – ${to}`;
}
