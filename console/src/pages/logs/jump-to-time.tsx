/** A point in time, to see what was around it. */

import { DatePicker } from "antd";
import dayjs, { type Dayjs } from "dayjs";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { serverNow } from "../../api/client";
import { Drop } from "../../components/drop";
import { Icon } from "../../components/icon";
import { formatZone } from "../../lib/format";

export function JumpToTime({ at, onJump }: { at: string | null; onJump: (time: number) => void }) {
  const { t } = useTranslation();
  return (
    <Drop
      className="btn"
      aria-label={t("logs.jump")}
      title={t("logs.jump")}
      aria-pressed={at !== null}
      content={(close) => (
        <Choice
          at={at}
          onJump={(time) => {
            close();
            onJump(time);
          }}
        />
      )}
    >
      <Icon name="target" />
      <span className="btn-text">{t("logs.jumpShort")}</span>
    </Drop>
  );
}

function Choice({ at, onJump }: { at: string | null; onJump: (time: number) => void }) {
  const { t } = useTranslation();
  const [time, setTime] = useState<Dayjs>(() => dayjs(at === null ? serverNow() - 600_000 : Date.parse(at)));
  return (
    <form
      className="jump"
      onSubmit={(event) => {
        event.preventDefault();
        onJump(time.valueOf());
      }}
    >
      <label>
        <span className="muted">{t("logs.jumpText", { zone: formatZone(new Date()) })}</span>
        <DatePicker showTime allowClear={false} needConfirm={false} format="YYYY-MM-DD HH:mm:ss" value={time} onChange={(value: Dayjs | null) => value && setTime(value)} />
      </label>
      <button type="submit" className="btn btn-primary">
        {t("logs.jumpGo")}
      </button>
    </form>
  );
}
