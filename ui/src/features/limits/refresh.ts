import { queries } from "@/app/query";

export const refreshLimits = () => void queries.invalidateQueries({ queryKey: ["limits"] });
