"""The words of a look inside a model, in English and Chinese."""

from typing import Final

from lamella.reporting.wording import LANGUAGES, Lang

WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": ("Inside {reference}", "模型内部：{reference}"),
    "kind": ("Kind", "类型"),
    "items": ("Items", "物品"),
    "users": ("Users", "用户"),
    "length": ("Length of a vector", "向量长度"),
    "placed": ("Items with a vector", "有向量的物品"),
    "curve": ("Learning curve", "学习曲线"),
    "curve.intro": (
        "Mean log loss of each epoch; 0 is before training. The weights of the marked epoch are those that serve.",
        "每轮的平均对数损失；0 表示训练之前。上线使用的是标记轮次的权重。",
    ),
    "curve.description": (
        "{epochs} epochs; the least validation loss is {loss} after epoch {best}.",
        "共 {epochs} 轮；验证损失在第 {best} 轮后最低，为 {loss}。",
    ),
    "kept": ("kept: epoch {epoch}", "保留：第 {epoch} 轮"),
    "epoch": ("Epoch", "轮次"),
    "training": ("training", "训练"),
    "validation": ("validation", "验证"),
    "biases": ("Biases", "偏置"),
    "biases.intro": (
        "How much a user or an item raises the logit of a click, whoever meets whom.",
        "某个用户或物品使点击的对数几率升高多少，与对方是谁无关。",
    ),
    "biases.items": ("Biases of the items", "物品偏置"),
    "biases.users": ("Biases of the users", "用户偏置"),
    "biases.description": (
        "{count} biases from {low} to {high}, mean {mean}, standard deviation {deviation}.",
        "{count} 个偏置，从 {low} 到 {high}，均值 {mean}，标准差 {deviation}。",
    ),
    "mean": ("mean {value}", "均值 {value}"),
    "top": ("Highest", "最高"),
    "bottom": ("Lowest", "最低"),
    "item": ("Item", "物品"),
    "user": ("User", "用户"),
    "category": ("Category", "类别"),
    "bias": ("Bias", "偏置"),
    "map": ("Map of the items", "物品地图"),
    "map.intro": (
        "Items on the two principal axes of their vectors: {first} of the variance across, {second} upwards.",
        "物品按其向量的两个主成分排布：横轴解释方差的 {first}，纵轴 {second}。",
    ),
    "map.sample": (
        "Shown are {shown} of {placed} items, drawn at random.",
        "显示 {placed} 个物品中随机抽取的 {shown} 个。",
    ),
    "map.description": (
        "{shown} items in {clusters} clusters on the first two principal axes.",
        "{shown} 个物品分为 {clusters} 个聚类，画在前两个主成分上。",
    ),
    "clusters": ("Clusters", "聚类"),
    "clusters.intro": (
        "k-means over the vectors of all {placed} items; categories are those of the items on the map.",
        "对全部 {placed} 个物品的向量做 k-means 聚类；类别取自地图上的物品。",
    ),
    "cluster": ("Cluster", "聚类"),
    "typical": ("Nearest to its centre", "最接近中心的物品"),
    "undefined.users": (
        "The model has no users of its own: everybody gets the same biases.",
        "该模型没有自己的用户：所有人的偏置相同。",
    ),
    "undefined.map": ("The model has no vectors of items.", "该模型没有物品向量。"),
    "undefined.curve": (
        "The version has no learning curve: nothing was trained epoch by epoch.",
        "该版本没有学习曲线：没有按轮次训练。",
    ),
    "undefined.items": ("The model has learned nothing of any item.", "该模型没有学到任何物品。"),
    "produced_by": ("Made by lamella.", "由 lamella 生成。"),
}


def say(key: str, lang: Lang, **values: object) -> str:
    """The words `key` in `lang`, with `values` filled in."""
    return WORDS[key][LANGUAGES.index(lang)].format(**values)
