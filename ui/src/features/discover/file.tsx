import { useId, useState } from "react";
import { Field, Select } from "@/components/ui/field";
import { useT } from "@/i18n";
import { base64, type ImportKind, type ImportSource, KINDS } from "./shape";

/** Another gateway's settings from a file of this browser's machine. */
export function FromFile({ read }: { read: (source: ImportSource) => void }) {
  const t = useT();
  const id = useId();
  const [kind, setKind] = useState<ImportKind>("cc-switch");
  const take = async (file: File | undefined) => {
    if (file) read({ kind, label: file.name, base64: base64(new Uint8Array(await file.arrayBuffer())) });
  };
  return (
    <details className="rounded-xl border border-line p-3">
      <summary className="text-sm font-medium">{t("discover.file")}</summary>
      <p className="mt-2 text-xs text-muted">{t("discover.fileHint")}</p>
      <div className="mt-3 flex flex-wrap items-end gap-3">
        <Field label={t("discover.kind")} className="w-52">
          <Select value={kind} onChange={(event) => setKind(event.target.value as ImportKind)}>
            {KINDS.map((row) => (
              <option key={row.kind} value={row.kind}>
                {row.name}
              </option>
            ))}
          </Select>
        </Field>
        <div className="min-w-0">
          <label htmlFor={id} className="mb-1 block text-xs font-medium">
            {t("discover.choose")}
          </label>
          <input
            id={id}
            type="file"
            className="max-w-full text-xs file:mr-3 file:h-9 file:rounded-lg file:border file:border-solid file:border-line-strong file:bg-surface file:px-3 file:text-sm file:text-text"
            onChange={(event) => void take(event.target.files?.[0])}
          />
        </div>
      </div>
    </details>
  );
}
