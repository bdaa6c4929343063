"""The words of the pages, in English and Chinese."""

from collections.abc import Mapping
from typing import Final

LANGUAGES: Final = ("en", "zh")

_CHINESE: Final[Mapping[str, str]] = {
    "Experiments": "实验",
    "Experiment": "实验",
    "Models": "模型",
    "API": "接口",
    "Layer": "层",
    "Status": "状态",
    "Days": "天数",
    "Verdict": "结论",
    "Owner": "负责人",
    "Variants": "分组",
    "As of": "截至",
    "No experiments yet.": "还没有实验。",
    "No report yet: a worker writes the first one after the experiment has started.": (
        "还没有报告：实验开始后由后台任务生成第一份。"
    ),
    "No models yet.": "还没有模型。",
    "Back to all models": "返回模型列表",
    "Version": "版本",
    "Kind": "类型",
    "Published": "发布时间",
    "Offline metrics": "离线指标",
    "Trainings": "训练",
    "Progress": "进度",
    "Message": "信息",
    "Requested": "提交时间",
    "Preview": "预览",
    "Parameters": "参数",
    "until": "有效期至",
    "It is not counted in any analysis.": "预览不计入任何分析。",
    "Log in": "登录",
    "Log out": "退出",
    "API key of a viewer or higher": "查看者或更高角色的密钥",
    "Paste a key to see experiments and reports. It is not stored; the session lasts 12 hours.": (
        "粘贴密钥以查看实验和报告。密钥不会被保存，会话有效期为 12 小时。"
    ),
    "Back to all experiments": "返回实验列表",
    "draft": "草稿",
    "scheduled": "已排期",
    "running": "运行中",
    "paused": "已暂停",
    "stopped": "已停止",
    "archived": "已归档",
    "queued": "排队中",
    "done": "完成",
    "failed": "失败",
    "cancelling": "正在取消",
    "cancelled": "已取消",
    "Cancel": "取消",
    "ship": "采用",
    "keep_control": "保留对照",
    "no_difference": "无差异",
    "keep_running": "继续运行",
    "stop_for_harm": "因受损停止",
    "invalid": "无效",
}

_ENGLISH: Final[Mapping[str, str]] = {
    "ship": "ship it",
    "keep_control": "keep control",
    "no_difference": "no difference",
    "keep_running": "keep running",
    "stop_for_harm": "stop: harm",
}


def translate(text: str, language: str) -> str:
    """The words in the language; a text that has no translation stays as it is.

    >>> translate("Models", "zh"), translate("keep_running", "en"), translate("mf@3", "zh")
    ('模型', 'keep running', 'mf@3')
    """
    words = _CHINESE if language == "zh" else _ENGLISH
    return words.get(text, text)
