"""The words of the reports in English and Chinese: every string that does not come from the document."""

from typing import Final, Literal, TypeAlias

from lamella.errors import InvalidInput

Lang: TypeAlias = Literal["en", "zh"]

LANGUAGES: Final = ("en", "zh")

CATALOGUE: Final[dict[str, tuple[str, str]]] = {
    # numbers
    "not_defined": ("not defined: {reason}", "无定义：{reason}"),
    "between": ("{low} to {high}", "{low} 至 {high}"),
    "no_upper_limit": ("{low} to ∞ (no upper limit)", "{low} 至 ∞（无上限）"),
    "no_lower_limit": ("−∞ to {high} (no lower limit)", "−∞ 至 {high}（无下限）"),
    "no_limits": ("−∞ to ∞ (no limit on either side)", "−∞ 至 ∞（两侧均无界）"),
    "hours": ("{n} h", "{n} 小时"),
    "days": ("{n} days", "{n} 天"),
    "day_n": ("day {n}", "第 {n} 天"),
    "hour_n": ("hour {n}", "第 {n} 小时"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "none": ("none", "无"),
    "p_is": ("p = {p}", "p = {p}"),
    "p_below": ("p {p}", "p {p}"),
    # reasons for an undefined number
    "reason.zero_variance": ("zero variance", "方差为零"),
    "reason.too_few_units": ("too few units", "单元数过少"),
    "reason.zero_baseline": ("the control's value is zero", "对照组的值为零"),
    "reason.no_denominator": ("nothing to divide by", "分母为零"),
    "reason.missing_covariate": ("no covariate from before the experiment", "缺少实验前协变量"),
    "reason.too_few_arms": ("too few variants", "变体数过少"),
    "reason.not_finite": ("the arithmetic left the range of numbers", "数值溢出"),
    "reason.failed": ("the computation failed", "计算失败"),
    "reason.srm": ("the sample ratio is off", "样本比例失衡"),
    # what is explored besides the plan
    "explored_heading": ("Explored besides the plan", "计划之外的探索"),
    "explored_intro": (
        "Exploratory: none of this enters the verdict. Intervals are at 95% and not corrected for how much is shown.",
        "以下为探索性结果，不影响结论。区间均为 95%，未对展示数量作校正。",
    ),
    "part.daily": ("By day", "按天"),
    "part.daily.intro": (
        "What units did on each day, over all that were exposed by its end.",
        "截至当天结束已曝光的全部单元在当天的行为。",
    ),
    "part.cumulative": ("Cumulated by day", "按天累计"),
    "part.cumulative.intro": ("Everything that units had done by the end of each day.", "截至每天结束的全部行为。"),
    "part.since_exposure": ("By days since first exposure", "按首次曝光后的天数"),
    "part.since_exposure.intro": (
        "A difference that fades tells a novelty effect; one that grows, learning.",
        "差异逐渐消退说明是新奇效应，逐渐增大说明存在学习效应。",
    ),
    "part.segments": ("By segment", "按人群"),
    "part.segments.intro": (
        "Segments are what the first list of a unit recorded of its context.",
        "人群按单元首次列表所记录的上下文划分。",
    ),
    "part.interactions": ("Beside other experiments", "与其他实验的交互"),
    "part.interactions.intro": (
        "How much larger the difference is among units that also got the other experiment's treatment.",
        "在同时处于另一实验处理组的单元中，差异大了多少。",
    ),
    "part.left_out": (
        "Not looked at, as others overlap longer or the time for it was used up: {names}.",
        "未分析（其他实验重叠更久，或时间已用完）：{names}。",
    ),
    "part.health": ("Health of the recommender", "推荐健康度"),
    "part.health.intro": (
        "What the lists cover, repeat and favour; intervals by a jackknife over 64 blocks of units.",
        "列表的覆盖、重复与偏向；区间由 64 组单元的刀切法得到。",
    ),
    "part.service": ("Health of the service", "服务健康度"),
    "part.service.intro": ("Latency, errors and fallbacks of the lists.", "列表的延迟、错误与降级。"),
    "part.slice": ("Slice", "切片"),
    "part.interval": ("95% interval", "95% 区间"),
    "part.figure": ("Figure", "指标项"),
    "part.beside": ("Other experiment", "另一实验"),
    "part.interaction": ("Interaction", "交互效应"),
    # verdicts: the badge, then the sentence
    "badge.ship": ("Ship", "上线"),
    "badge.keep_control": ("Keep control", "保留对照"),
    "badge.no_difference": ("No difference", "无差异"),
    "badge.keep_running": ("Keep running", "继续运行"),
    "badge.stop_for_harm": ("Stop", "停止"),
    "badge.invalid": ("Invalid", "无效"),
    "decision.ship": ("Ship {variant}", "上线 {variant}"),
    "decision.keep_control": ("Keep the control", "保留对照组"),
    "decision.no_difference": ("No difference was found", "未发现差异"),
    "decision.keep_running": ("Keep running: it is too early to tell", "继续运行：目前下结论为时尚早"),
    "decision.stop_for_harm": ("Stop: {variant} does harm", "停止：{variant} 造成损害"),
    "decision.invalid": ("No verdict: the result is not valid", "无结论：结果无效"),
    # roles, states, checks
    "role.primary": ("primary", "主要指标"),
    "role.guardrail": ("guardrail", "护栏指标"),
    "role.secondary": ("secondary", "次要指标"),
    "role.exploratory": ("exploratory", "探索性指标"),
    "status.draft": ("draft", "草稿"),
    "status.scheduled": ("scheduled", "已排期"),
    "status.running": ("running", "运行中"),
    "status.paused": ("paused", "已暂停"),
    "status.stopped": ("stopped", "已停止"),
    "status.archived": ("archived", "已归档"),
    "check.sample_ratio": ("Sample ratio", "样本比例"),
    "check.crossed_units": ("Units in two variants", "跨组单元"),
    "check.fallbacks": ("Fallbacks", "降级均衡"),
    "check.pre_period": ("Before the experiment", "实验前均衡"),
    "check.minimum_days": ("Minimum run time", "最短运行时间"),
    "state.passed": ("passed", "通过"),
    "state.failed": ("failed, blocks the verdict", "未通过，阻止结论"),
    "state.warning": ("failed, does not block", "未通过，不阻止结论"),
    "state.open": ("not judged", "未判定"),
    "tone.good": ("better", "变好"),
    "tone.bad": ("worse", "变差"),
    "tone.neutral": ("not significant", "不显著"),
    "tone.undefined": ("not defined", "无定义"),
    "margin.inside": ("inside the margin", "在界限内"),
    "margin.crosses": ("margin in doubt", "是否超界未定"),
    "margin.beyond": ("beyond the margin", "超出界限"),
    # the page
    "title": ("Experiment report", "实验报告"),
    "overview": ("Overview", "总览"),
    "as_of": ("as of {when}", "数据截至 {when}"),
    "phase_n": ("phase {n}", "阶段 {n}"),
    "experiment": ("Experiment", "实验"),
    "layer": ("Layer", "分层"),
    "layer_is": ("layer {layer}", "分层 {layer}"),
    "verdict": ("Verdict", "结论"),
    "hypothesis": ("Hypothesis", "假设"),
    "truth": ("Planted truth", "植入的真实效应"),
    "truth.effect": ("the simulator planted an effect of {lift}", "模拟器植入了 {lift} 的效应"),
    "truth.effect_unsized": ("the simulator planted an effect", "模拟器植入了效应"),
    "truth.none": ("the simulator planted no effect", "模拟器未植入效应"),
    "truth.short_effect": ("an effect", "有效应"),
    "truth.short_none": ("no effect", "无效应"),
    "truth.short_right": ("right", "正确"),
    "truth.short_wrong": ("wrong", "错误"),
    "truth.short_open": ("open", "未定"),
    "truth.right": ("the verdict is right", "结论正确"),
    "truth.wrong": ("the verdict is wrong", "结论错误"),
    "truth.open": ("the verdict is still open", "结论尚未确定"),
    "units": ("Units", "单元数"),
    "look_of": ("Look", "分析次数"),
    "n_of_m": ("{n} of {m}", "{n} / {m}"),
    "information_is": ("{share} of the planned information", "已获得计划信息量的 {share}"),
    "running_for": ("Run time", "运行时长"),
    "of_planned": ("of {n} planned", "计划 {n}"),
    "lift_heading": ("Lift against the control", "相对对照组的提升"),
    "lift_caption": (
        "Relative lift of each variant against {control}, with its confidence interval.",
        "各变体相对 {control} 的提升及其置信区间。",
    ),
    "untrusted": (
        "A check failed: these numbers are here to find the cause, not to decide on.",
        "检查未通过：以下数字仅供排查原因，不可据以决策。",
    ),
    "legend.minimum_effect": ("minimum effect", "最小效应"),
    "legend.margin": ("beyond the guardrail's margin", "超出护栏界限"),
    "legend.beside": ("before CUPED", "CUPED 调整前"),
    "legend.clipped": ("the interval goes on", "区间超出图幅"),
    "legend.minimum_effect_line": ("the minimum effect of the plan", "计划的最小效应"),
    "values_heading": ("Values", "数值"),
    "values_caption": (
        "Each metric by variant, with the comparison against the control.",
        "各变体的指标值及与对照组的比较。",
    ),
    "metric": ("Metric", "指标"),
    "variant": ("Variant", "变体"),
    "value": ("Value", "值"),
    "total": ("Numerator / denominator", "分子 / 分母"),
    "difference": ("Difference", "差值"),
    "relative_lift": ("Relative lift", "相对提升"),
    "interval": ("Interval", "区间"),
    "interval_level": ("{level} interval", "{level} 置信区间"),
    "p": ("p", "p 值"),
    "p_corrected": ("p, corrected", "校正后 p 值"),
    "chance_to_win": ("Chance to win", "胜出概率"),
    "expected_loss": ("Expected loss", "期望损失"),
    "result": ("Result", "结果"),
    "control": ("control", "对照组"),
    "after_cuped": ("after CUPED", "CUPED 调整后"),
    "lifts_adjusted": ("Lifts, intervals and p are after CUPED.", "提升、区间与 p 值均为 CUPED 调整后。"),
    "higher_is_better": ("more is better", "越高越好"),
    "lower_is_better": ("less is better", "越低越好"),
    "time_heading": ("Over time", "随时间变化"),
    "time_intro": (
        "Cumulative: each point uses everything from the start of the phase up to that analysis.",
        "累计值：每个点使用从阶段开始到该次分析为止的全部数据。",
    ),
    "first_look": (
        "This is the first analysis of the phase; the lines begin with the second.",
        "这是本阶段的第一次分析；第二次分析后将出现曲线。",
    ),
    "lift_over_time": ("Relative lift", "相对提升"),
    "value_over_time": ("Value by variant", "各变体的值"),
    "other_metrics": ("The other metrics over time ({n})", "其他指标随时间变化（{n}）"),
    "show_table": ("Show the numbers", "显示数据表"),
    "time": ("Time", "时间"),
    "planned_end": ("planned end", "计划结束"),
    "trend_title": ("{metric}: relative lift over time", "{metric}：相对提升随时间变化"),
    "trend_values_title": ("{metric}: value by variant over time", "{metric}：各变体的值随时间变化"),
    "trend_description": (
        "{series} over {looks} analyses; the newest: {last}.",
        "{series}，共 {looks} 次分析；最新：{last}。",
    ),
    "boundary_heading": ("Stopping boundary", "停止边界"),
    "boundary_caption": (
        "The test statistic of the primary metric at each look; the test may stop where it leaves the band.",
        "每次分析时主要指标的检验统计量；越过边界即可停止。",
    ),
    "boundary_title": ("Test statistic against the stopping boundary", "检验统计量与停止边界"),
    "boundary_description": (
        "{looks} looks; the newest at {information}: z = {z}, boundary ±{boundary}: {state}.",
        "共 {looks} 次分析；最新一次（{information}）：z = {z}，边界 ±{boundary}：{state}。",
    ),
    "boundary_crossed": ("the boundary is crossed", "已越过边界"),
    "boundary_inside": ("the boundary is not crossed", "未越过边界"),
    "information": ("Information", "信息量"),
    "z": ("z", "z"),
    "boundary": ("Boundary", "边界"),
    "look": ("Look", "分析"),
    "checks_heading": ("Can this be trusted?", "结果可信吗？"),
    "checks_caption": ("What must hold before a verdict.", "得出结论之前必须成立的条件。"),
    "check": ("Check", "检查"),
    "detail": ("Finding", "发现"),
    "traffic_caption": ("Traffic by variant: what was planned and what came.", "各变体流量：计划与实际。"),
    "weight": ("Weight", "权重"),
    "planned_share": ("Planned share", "计划占比"),
    "observed_share": ("Observed share", "实际占比"),
    "crossed": ("In two variants", "跨组单元"),
    "slates": ("Slates", "推荐列表数"),
    "fallback_share": ("Fell back", "降级占比"),
    "plan_heading": ("Fixed at the start", "启动时即固定"),
    "plan.primary_metric": ("Primary metric", "主要指标"),
    "plan.guardrails": ("Guardrails", "护栏指标"),
    "plan.secondary_metrics": ("Secondary metrics", "次要指标"),
    "plan.method": ("Method", "方法"),
    "plan.alpha": ("Significance level", "显著性水平"),
    "plan.power": ("Power", "检验功效"),
    "plan.minimum_effect": ("Minimum effect", "最小效应"),
    "plan.planned_days": ("Planned days", "计划天数"),
    "plan.looks": ("Looks", "分析次数"),
    "plan.minimum_days": ("Minimum days", "最短天数"),
    "plan.correction": ("Correction", "多重比较校正"),
    "plan.covariate_metrics": ("Further covariates", "其他协变量"),
    "plan.covariate_days": ("Covariate days", "协变量天数"),
    "plan.on_verdict": ("On a verdict", "得出结论时"),
    "method.group_sequential": ("group sequential", "成组序贯"),
    "method.always_valid": ("always valid", "始终有效"),
    "method.fixed_horizon": ("fixed horizon", "固定期限"),
    "margin_is": ("{metric}: at most {margin} worse", "{metric}：最多变差 {margin}"),
    "owner": ("Owner", "负责人"),
    "started": ("Started", "开始时间"),
    "inputs_heading": ("To reproduce", "复现所需"),
    "inputs_intro": (
        "Every number above follows from these sums over units (configuration {snapshot}, phase id {phase}).",
        "以上所有数字均可由下列按单元汇总的统计量得出（配置版本 {snapshot}，阶段编号 {phase}）。",
    ),
    "inputs_caption": ("Means over units, by variant.", "按变体的单元均值。"),
    "inputs_exact": ("Exact sums as JSON", "精确统计量（JSON）"),
    "no_metrics": ("The document holds no metric yet.", "报告中尚无指标。"),
    "produced_by": (
        "Made by lamella; every number is reproducible from the store.",
        "由 lamella 生成；所有数字均可由存储复现。",
    ),
    "finding": (
        "{metric}: {variant} is {lift} against {control} ({level} interval {interval}; {p}).",
        "{metric}：{variant} 相对 {control} 为 {lift}（{level} 置信区间 {interval}；{p}）。",
    ),
    "finding_undefined": (
        "{metric}: {variant} against {control} is {reason}.",
        "{metric}：{variant} 相对 {control} {reason}。",
    ),
    "forest_description": (
        "{metric}, {variant} against {control}: {lift}, {level} interval {interval}, {p}, {tone}.",
        "{metric}，{variant} 相对 {control}：{lift}，{level} 置信区间 {interval}，{p}，{tone}。",
    ),
}


def language(lang: str) -> Lang:
    """`lang` as one of the languages that the reports speak. Raises InvalidInput for another."""
    if lang == "en":
        return "en"
    if lang == "zh":
        return "zh"
    raise InvalidInput(f"reports speak {' and '.join(LANGUAGES)}, not {lang!r}; choose one of these")


def word(key: str, lang: Lang, **values: object) -> str:
    """The string `key` in `lang`, with `values` filled in."""
    return CATALOGUE[key][LANGUAGES.index(lang)].format(**values)


def term(group: str, name: str, lang: Lang) -> str:
    """The word for a name of the document, such as role or check; an unknown name is shown as it is, in words."""
    key = f"{group}.{name}"
    return word(key, lang) if key in CATALOGUE else name.replace("_", " ")


def reason_text(code: str, lang: Lang) -> str:
    """Why a number is undefined, in words."""
    return term("reason", code, lang)
