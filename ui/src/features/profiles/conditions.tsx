import { Field, Input, Select } from "@/components/ui/field";
import { WordsInput } from "@/components/ui/words-input";
import { useT } from "@/i18n";
import { FORMATS, TOOLS } from "@/lib/known";
import { type Conditions, counted } from "./rules";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

type Props = { value: Conditions; disabled: boolean; change: (value: Conditions) => void };

/** What else must hold for a rule; what is left empty asks nothing. */
export function ConditionsForm({ value, disabled, change }: Props) {
  const t = useT();
  const put = (fields: Partial<Conditions>) => change({ ...value, ...fields });
  const number = (text: string) => (text === "" ? null : Number(text));
  const n = counted(value);
  return (
    <details className="mt-3 rounded-lg bg-sunken p-3">
      <summary className="text-xs font-medium">
        {t("if.title")} {n > 0 && <span className="text-accent">({n})</span>}
      </summary>
      <div className="mt-3 grid gap-3 md:grid-cols-2">
        <WordsInput
          label={t("inspect.tool")}
          optional={t("optional")}
          values={value.tool ?? []}
          offers={TOOLS}
          disabled={disabled}
          onChange={(tool) => put({ tool })}
        />
        <WordsInput
          label={t("inspect.format")}
          optional={t("optional")}
          values={value.format ?? []}
          offers={FORMATS}
          disabled={disabled}
          onChange={(format) => put({ format })}
        />
        <Field label={t("if.minTokens")}>
          <Input
            type="number"
            min={0}
            value={value.min_prompt_tokens ?? ""}
            onChange={(event) => put({ min_prompt_tokens: number(event.target.value) })}
          />
        </Field>
        <Field label={t("if.maxTokens")}>
          <Input
            type="number"
            min={0}
            value={value.max_prompt_tokens ?? ""}
            onChange={(event) => put({ max_prompt_tokens: number(event.target.value) })}
          />
        </Field>
        <div className="grid grid-cols-3 gap-2 md:col-span-2">
          {(["images", "thinking", "stream"] as const).map((name) => (
            <Field key={name} label={t(`if.${name}`)}>
              <Select
                value={String(value[name] ?? "")}
                onChange={(event) => put({ [name]: event.target.value === "" ? null : event.target.value === "true" })}
              >
                <option value="">{t("if.whatever")}</option>
                <option value="true">{t("yes")}</option>
                <option value="false">{t("no")}</option>
              </Select>
            </Field>
          ))}
        </div>
        <div className="grid grid-cols-2 gap-2">
          {(["from", "to"] as const).map((edge) => (
            <Field key={edge} label={t(`range.${edge}`)}>
              <Input
                type="time"
                value={value.time?.[edge] ?? ""}
                onChange={(event) => {
                  const time = { ...value.time, [edge]: event.target.value };
                  put({ time: time.from || time.to ? time : null });
                }}
              />
            </Field>
          ))}
        </div>
        <WordsInput
          label={t("if.days")}
          optional={t("optional")}
          placeholder={t("if.everyDay")}
          values={value.time?.days ?? []}
          offers={DAYS}
          disabled={disabled || !value.time}
          onChange={(days) => put({ time: { ...value.time, days } })}
        />
      </div>
    </details>
  );
}
