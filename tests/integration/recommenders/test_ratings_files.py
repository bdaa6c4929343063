"""Ratings files are read as they are: MovieLens in all three formats, CSV, Parquet."""

from pathlib import Path

import pandas as pd
import pytest

from lamella.adapters.ratings_files import RatingsFiles
from lamella.errors import InvalidInput


def write(folder: Path, files: dict[str, str], *, encoding: str = "utf-8") -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding=encoding)


def test_movielens_1m_is_read_with_its_movies_and_users(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "ratings.dat": "1::1193::5::978300760\n2::661::3::978302109\n",
            "movies.dat": "1193::Amélie (2001)::Comedy|Romance\n661::James (1996)::Drama\n",
            "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
        },
        encoding="latin-1",
    )
    ratings = RatingsFiles().read(str(tmp_path / "ratings.dat"))
    assert (ratings.units, ratings.items, ratings.ratings) == (["1", "2"], ["1193", "661"], [5.0, 3.0])
    assert ratings.times == [978300760.0, 978302109.0]
    amelie = ratings.catalogue[0]
    assert (amelie.key, amelie.title, amelie.published_at.year) == ("1193", "Amélie (2001)", 2001)
    assert amelie.attributes == {"genres": ["Comedy", "Romance"]}
    assert ratings.attributes["2"] == {"gender": "M", "age": "56", "occupation": "16", "region": "7"}
    assert ratings.stamp["items_file"] == "movies.dat"


def test_movielens_100k_is_read_with_its_items_and_users(tmp_path: Path) -> None:
    flags = "|".join("1" if place in (1, 5) else "0" for place in range(19))
    write(
        tmp_path,
        {
            "u.data": "196\t242\t3\t881250949\n",
            "u.item": f"242|Kolya (1996)|24-Jan-1997||http://x|{flags}\n",
            "u.user": "196|49|M|writer|55105\n",
        },
    )
    ratings = RatingsFiles().read(str(tmp_path / "u.data"))
    assert (ratings.units, ratings.items, ratings.ratings, ratings.times) == (["196"], ["242"], [3.0], [881250949.0])
    assert ratings.catalogue[0].attributes == {"genres": ["Action", "Comedy"]}
    assert ratings.attributes["196"]["occupation"] == "writer"


def test_tabs_separate_the_columns_of_a_tsv_with_a_header(tmp_path: Path) -> None:
    write(tmp_path, {"r.tsv": "user\titem\trating\ttimestamp\n007\ta,b\t4\t1260759144\n"})
    ratings = RatingsFiles().read(str(tmp_path / "r.tsv"))
    assert (ratings.units, ratings.items, ratings.ratings, ratings.times) == (["007"], ["a,b"], [4.0], [1260759144.0])


def test_movielens_csv_is_read_with_its_movies(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "ratings.csv": "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n",
            "movies.csv": 'movieId,title,genres\n31,"Dangerous Minds, The (1995)",Drama|Crime\n',
        },
    )
    ratings = RatingsFiles().read(str(tmp_path / "ratings.csv"))
    assert (ratings.ratings, ratings.catalogue[0].title) == ([2.5], "Dangerous Minds, The (1995)")


def test_a_parquet_file_whose_times_have_gaps_takes_the_next_column_of_time(tmp_path: Path) -> None:
    table = pd.DataFrame({"user": [7, 7], "item": ["a", "b"], "rating": [4, 5], "ts": [None, 3.0], "seq": [1, 0]})
    table.to_parquet(tmp_path / "r.parquet")
    ratings = RatingsFiles().read(str(tmp_path / "r.parquet"))
    assert (ratings.units, ratings.items, ratings.times) == (["7", "7"], ["a", "b"], [1.0, 0.0])


SECONDS = 1_767_225_600


@pytest.mark.parametrize(
    "column",
    [
        [SECONDS, SECONDS + 1],
        [SECONDS * 1_000, (SECONDS + 1) * 1_000],
        [SECONDS * 10**6, (SECONDS + 1) * 10**6],
        [SECONDS * 10**9, (SECONDS + 1) * 10**9],
        ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"],
        pd.to_datetime(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"]),
        pd.to_datetime(["2026-01-01T00:00:00", "2026-01-01T00:00:01"]),
    ],
    ids=["s", "ms", "us", "ns", "text", "moments", "naive moments"],
)
def test_times_are_seconds_whatever_the_file_counts_in(tmp_path: Path, column: object) -> None:
    table = pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "rating": [1, 2], "timestamp": column})
    table.to_parquet(tmp_path / "r.parquet")
    assert RatingsFiles().read(str(tmp_path / "r.parquet")).times == [SECONDS, SECONDS + 1]


@pytest.mark.parametrize(
    "times",
    [
        ["2026-01-01T00:00:00.250000+00:00", "2026-01-01T00:00:01+00:00"],
        ["2026-01-01T00:00:00.25Z", "2026-01-01T00:00:01Z"],
        ["2026-01-01 00:00:00.25", "2026-01-01T01:00:01+01:00"],
    ],
    ids=["python", "Z", "space and zone"],
)
@pytest.mark.parametrize("is_first", [True, False], ids=["fraction first", "fraction last"])
def test_moments_with_and_without_fractions_of_a_second_are_read(
    tmp_path: Path, times: list[str], is_first: bool
) -> None:
    rows = zip(times if is_first else times[::-1], "ab", strict=True)
    write(tmp_path, {"r.csv": "user,item,rating,timestamp\n" + "".join(f"u,{item},1,{at}\n" for at, item in rows)})
    found = RatingsFiles().read(str(tmp_path / "r.csv"))
    assert found.times == sorted([SECONDS + 0.25, SECONDS + 1], reverse=not is_first)
    assert found.stamp["has_times"]


@pytest.mark.parametrize("gap", ["", "NA", "NaN", "null"])
@pytest.mark.parametrize("there", [str(SECONDS), "2026-01-01T00:00:00.5Z"])
def test_where_a_time_is_missing_the_order_of_the_file_is_time(tmp_path: Path, gap: str, there: str) -> None:
    write(tmp_path, {"r.csv": f"user,item,rating,timestamp\nu,a,1,{there}\nu,b,2,{gap}\n"})
    found = RatingsFiles().read(str(tmp_path / "r.csv"))
    assert (found.times, found.stamp["has_times"]) == ([0, 1], False)


def test_only_the_empty_text_is_a_missing_key(tmp_path: Path) -> None:
    keys = ["NA", "null", "nan", "None", "N/A", "007"]
    ratings = "".join(f"{key},{key},{place}\n" for place, key in enumerate(keys))
    items, users = ("".join(f"{key},{at}\n" for key, at in zip(keys, ages, strict=True)) for ages in ("abcdef", AGES))
    write(
        tmp_path,
        {"r.csv": "user,item,rating\n" + ratings, "i.csv": "key,title\n" + items, "u.csv": "id,age\n" + users},
    )
    found = RatingsFiles().read(str(tmp_path / "r.csv"), items=str(tmp_path / "i.csv"), users=str(tmp_path / "u.csv"))
    assert (found.units, found.items, [each.key for each in found.catalogue]) == (keys, keys, keys)
    assert list(found.attributes.values()) == [{"age": 31}, {}, {}, {"age": 4}, {"age": 5}, {"age": 6}]


AGES = ("31", "NA", "", "4", "5", "6")


def test_tables_of_items_and_users_may_be_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "r.csv": "user,item,rating\nx,a,1\ny,b,2\n",
            "i.csv": "key,title,category,author\na,Cats,pets,Ann\nb,Votes,news,\n",
            "u.csv": "id,age,interests\nx,31,cats|cars\n",
        },
    )
    ratings = RatingsFiles().read(str(tmp_path / "r.csv"), items=str(tmp_path / "i.csv"), users=str(tmp_path / "u.csv"))
    assert ratings.times == [0, 1]
    assert ratings.catalogue[1].attributes == {"category": "news"}
    assert ratings.attributes == {"x": {"age": 31, "interests": ["cats", "cars"]}}


def test_keys_are_kept_as_they_are_written(tmp_path: Path) -> None:
    write(tmp_path, {"R.CSV": "user_id,item_id,rating\n007,00012,1\n1e5,12,2\n", "i.csv": "id,title\n00012,Zeros\n"})
    ratings = RatingsFiles().read(str(tmp_path / "R.CSV"), items=str(tmp_path / "i.csv"))
    assert (ratings.units, ratings.items) == (["007", "1e5"], ["00012", "12"])
    assert [item.key for item in ratings.catalogue] == ["00012"]


def test_whole_numbers_that_became_floats_are_the_same_keys(tmp_path: Path) -> None:
    pd.DataFrame({"user": [7.0, 8.5], "item": [3.0, 4.0], "rating": [4, 5]}).to_parquet(tmp_path / "r.parquet")
    ratings = RatingsFiles().read(str(tmp_path / "r.parquet"))
    assert (ratings.units, ratings.items) == (["7", "8.5"], ["3", "4"])


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("r.csv", "user,rating\nx,1\n", "no column for the item: it has user, rating"),
        ("r.csv", "user,item,rating\nx,a,good\n", "rating of row 1 is 'good', not a number"),
        ("r.csv", "user,item,rating\nx,a,1\nx,b,\n", "rating of row 2 is 'nan', not a number"),
        ("r.csv", "user,item,rating\nx,a,inf\n", "rating of row 1 is 'inf', not a number"),
        ("r.csv", "user,item,rating\nx,a,1\n,b,2\n", "user of row 2 is missing"),
        ("r.csv", "user,item,rating,ts\nx,a,1,2025-12-30\nx,b,2,31/12/2025\n", "ts of row 2 is '31/12/2025'"),
        ("r.csv", "user,item,rating,ts\nx,a,1,31/12/2025\nx,b,2,\n", "ts of row 1 is '31/12/2025'"),
        ("r.csv", "user,item,rating,ts\nx,a,1,\nx,b,2,today\n", "ts of row 2 is 'today'"),
        ("r.csv", "user,item,rating,ts\nx,a,1,17\nx,b,2,2025-12-30\n", "ts of row 2 is '2025-12-30'"),
        ("r.csv", "user,item,rating,ts\nx,a,1,17\nx,b,2,inf\n", "ts of row 2 is 'inf'"),
        ("r.dat", "1::a::2::3\n::b::2::3\n", "UserID of row 2 is missing"),
        ("r.dat", "1::2\n", "line 1 has not 4 columns"),
        ("r.parquet", "PAR", "cannot be read as a table"),
    ],
)
def test_an_unusable_file_is_refused_with_the_reason(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    write(tmp_path, {name: text})
    with pytest.raises(InvalidInput, match=sentence):
        RatingsFiles().read(str(tmp_path / name))
